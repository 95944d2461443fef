//! The report as one page: figures in pictures, then the table, then every sample. It needs nothing from elsewhere. The first
//! picture is there by itself too, for a document.
use crate::chart::{self, Group, Line, SERIES_MAX, escape};
use crate::report::{Latency, Report, Row};
use crate::stats::{Summary, group};
use crate::table::LATENCY;
use anyhow::Result;

/// What the classes of a picture look like, in light and dark.
const PICTURE: &str = "
:root { color-scheme: light dark; --back: #fcfcfb; --ink: #1b1b1a; --soft: #63625e; --grid: #e5e4e0; --panel: #fff;
  --c0: #2a6fd6; --c1: #d9641a; --c2: #16875f; --c3: #8b52c9; --c4: #c4316a; --c5: #7d6c10; }
@media (prefers-color-scheme: dark) { :root { --back: #161615; --ink: #f0efec; --soft: #a5a39d; --grid: #34332f; --panel: #1e1e1c;
  --c0: #5b9bf0; --c1: #f08c4a; --c2: #3fbf8f; --c3: #b48ae8; --c4: #ec6d9c; --c5: #c4b04a; } }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--soft); } svg .label, svg .value { fill: var(--ink); }
.grid { stroke: var(--grid); } .axis { stroke: var(--soft); } .line { fill: none; stroke: var(--s); stroke-width: 2; }
.ideal { fill: none; stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 5; }
.bar { fill: var(--s); } .dot { fill: var(--s); stroke: var(--panel); stroke-width: 1.5; }
.whisker { stroke: var(--s, var(--ink)); stroke-width: 1.5; }
.c0 { --s: var(--c0); } .c1 { --s: var(--c1); } .c2 { --s: var(--c2); } .c3 { --s: var(--c3); } .c4 { --s: var(--c4); } .c5 { --s: var(--c5); }
";

const STYLE: &str = "
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1360px; padding: 28px 24px 48px; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 16px; margin: 0 0 2px; }
p { margin: 4px 0 16px; } .soft, figcaption { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 0 0 16px; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 20px; margin: 20px 0; }
figure { margin: 0; padding: 16px 18px; background: var(--panel); border: 1px solid var(--grid); border-radius: 8px; }
figcaption { font-size: 13px; margin-bottom: 6px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px; margin: 0 0 6px; }
.legend i { display: inline-block; width: 14px; height: 10px; border-radius: 2px; margin-right: 6px; background: var(--s); }
.legend i.dashed { height: 0; border-top: 2px dashed var(--soft); background: none; border-radius: 0; vertical-align: middle; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: 5px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
th { color: var(--soft); font-weight: 500; } th:nth-child(3), td:nth-child(3) { text-align: left; }
pre { font-size: 12px; overflow-x: auto; }
";

/// The page.
pub fn page(report: &Report) -> Result<String> {
    let facts: String = report
        .facts()
        .iter()
        .map(|(k, v)| format!("<dt>{k}</dt><dd>{}</dd>", escape(v)))
        .collect::<Vec<_>>()
        .join("\n");
    let findings: String = report.findings().iter().map(|f| format!("<li>{}</li>", escape(f))).collect();
    let findings = if findings.is_empty() { findings } else { format!("<ul>{findings}</ul>") };
    let figures = [cpu(report), nodes(report), throughput(report), memory(report), latency(report)].concat();
    let name = escape(&report.case);
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Benchmark: {name}</title>\n<style>{PICTURE}{STYLE}</style>\n\
         <h1>Benchmark: {name}</h1>\n<p class=\"soft\">{about}</p>\n<dl>{facts}</dl>\n{findings}\n\
         <div class=\"figures\">{figures}</div>\n\
         <h2>Figures</h2>\n<p class=\"soft\">Medians; (smallest–largest) where runs differ. Latency: {LATENCY}.</p>\n\
         <div class=\"scroll\">{table}</div>\n\
         <details><summary>Every sample, as JSON</summary><pre>{json}</pre></details>\n</html>\n",
        about = escape(&report.about),
        table = table(report),
        json = escape(&report.json()?),
    ))
}

fn table(report: &Report) -> String {
    let row = |tag: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let mut out = row("th", Report::head().map(String::from).to_vec());
    report.cells().into_iter().for_each(|c| out += &row("td", c.to_vec()));
    format!("<table>{out}</table>")
}

/// A picture with its title, a sentence and the names of its colours.
fn figure(title: &str, caption: &str, legend: &[(String, Option<usize>)], svg: &str) -> String {
    let key = |(name, color): &(String, Option<usize>)| {
        let class = color.map_or("dashed".to_string(), |c| format!("c{c}"));
        format!("<span><i class=\"{class}\"></i>{}</span>", escape(name))
    };
    let legend: String = if legend.len() > 1 { legend.iter().map(key).collect() } else { String::new() };
    format!(
        "<figure><h2>{title}</h2><figcaption>{}</figcaption><div class=\"legend\">{legend}</div>{svg}</figure>\n",
        escape(caption)
    )
}

/// Names of programs in the order of the rows; Millstream is the first.
fn programs(report: &Report) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for r in &report.rows {
        if !names.contains(&r.program) {
            names.push(r.program.clone());
        }
    }
    names
}

fn ours(report: &Report) -> impl Iterator<Item = &Row> {
    let name = report.rows.first().map(|r| r.program.as_str());
    report.rows.iter().filter(move |r| Some(r.program.as_str()) == name)
}

/// Distinct values in the order they are met.
fn distinct(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut out: Vec<u64> = values.collect();
    out.sort_unstable();
    out.dedup();
    out
}

fn cpu(report: &Report) -> String {
    let names = programs(report);
    let mut groups: Vec<Group> = Vec::new();
    for r in &report.rows {
        let color = names.iter().position(|n| *n == r.program).unwrap_or(0) % SERIES_MAX;
        let (label, bar) = (r.on.to_string(), (r.program.clone(), color, r.cpu_s_per_million));
        match groups.last_mut().filter(|g| g.label == label) {
            Some(g) => g.bars.push(bar),
            None => groups.push(Group { label, bars: vec![bar] }),
        }
    }
    let legend: Vec<_> = names.iter().enumerate().map(|(i, n)| (n.clone(), Some(i % SERIES_MAX))).collect();
    let title = "CPU seconds per million events";
    let caption =
        "Less is better; all threads, from the start of the process to its end. Whiskers: smallest and largest run.";
    figure(title, caption, &legend, &chart::bars(title, "CPU s / M events", &groups))
}

/// CPU time of every program on most events with fewest workers, as a picture that stands alone.
pub fn picture(report: &Report) -> String {
    let most = report.rows.iter().map(|r| r.on.events).max().unwrap_or(0);
    let rows = || report.rows.iter().filter(move |r| r.on.events == most);
    let fewest = rows().map(|r| r.on.workers).min().unwrap_or(0);
    let group = |r: &Row| {
        let of = report.against.iter().find(|a| a.program == r.program);
        let (label, color) = match of.map(|a| a.about.is_some()) {
            None => (r.program.clone(), 0),
            Some(true) => (format!("{}, {}", report.rows[0].program, r.program), 0),
            Some(false) => (r.program.clone(), 1),
        };
        Group { label: label.clone(), bars: vec![(label, color, r.cpu_s_per_million)] }
    };
    let groups: Vec<Group> = rows().filter(|r| r.on.workers == fewest).map(group).collect();
    let unit = "CPU µs for one event (median, smallest and largest run)";
    let svg = chart::bars("CPU time for one event", unit, &groups);
    let style = format!("<style>{PICTURE}svg {{ background: var(--back); }}</style>");
    let (open, rest) = svg.split_once('>').unwrap_or((&svg, ""));
    format!("{open} xmlns=\"http://www.w3.org/2000/svg\">{style}{rest}\n")
}

fn nodes(report: &Report) -> String {
    let Some((on, nodes)) = report.nodes().into_iter().next_back() else { return String::new() };
    let bar = |(node, us): &(String, Summary)| Group { label: node.clone(), bars: vec![(node.clone(), 0, *us)] };
    let title = "CPU microseconds per event by node";
    let caption = format!(
        "Less is better; {on}. (coordinator): epoch log, snapshots. (rest): scheduling, exchange, start and end of the process."
    );
    let groups: Vec<Group> = nodes.iter().map(bar).collect();
    figure(title, &caption, &[], &chart::bars(title, "µs / event", &groups))
}

/// The first lines of `all`, at most as many as there are colours, coloured.
fn colored(all: Vec<(String, Vec<(f64, Summary)>)>) -> (Vec<Line>, String) {
    let note = match all.len() {
        n if n > SERIES_MAX => format!(" The first {SERIES_MAX} of {n}; the table has all."),
        _ => String::new(),
    };
    let line = |(i, (name, points)): (usize, (String, Vec<_>))| Line { name, color: Some(i), points };
    (all.into_iter().take(SERIES_MAX).enumerate().map(line).collect(), note)
}

fn legend(lines: &[Line]) -> Vec<(String, Option<usize>)> {
    lines.iter().map(|l| (l.name.clone(), l.color)).collect()
}

fn throughput(report: &Report) -> String {
    let x: Vec<_> = distinct(ours(report).map(|r| r.on.workers)).iter().map(|w| (*w as f64, w.to_string())).collect();
    let per_events = |events| {
        let points =
            ours(report).filter(|r| r.on.events == events).map(|r| (r.on.workers as f64, r.events_per_s)).collect();
        (format!("{} events", group(events)), points)
    };
    let (mut lines, note) = colored(distinct(ours(report).map(|r| r.on.events)).into_iter().map(per_events).collect());
    lines.extend(lines.last().and_then(ideal));
    let title = "Events per second by workers";
    let caption = format!(
        "More is better; wall time with start and end of the process. Dashed: in proportion to the workers.{note}"
    );
    figure(title, &caption, &legend(&lines), &chart::lines(title, "workers", "events/s", &x, &lines))
}

/// What `line` would be if it grew in proportion from its first point.
fn ideal(line: &Line) -> Option<Line> {
    let (first, last) = (line.points.first()?, line.points.last()?);
    let at = |x: f64| {
        let v = first.1.median * x / first.0;
        (x, Summary { median: v, min: v, max: v })
    };
    (last.0 > first.0).then(|| Line {
        name: format!("ideal for {}", line.name),
        color: None,
        points: vec![at(first.0), at(last.0)],
    })
}

fn memory(report: &Report) -> String {
    let place = |events: u64| (events as f64).ln();
    let x: Vec<_> = distinct(ours(report).map(|r| r.on.events)).iter().map(|e| (place(*e), group(*e))).collect();
    let per_workers = |workers: u64| {
        let points =
            ours(report).filter(|r| r.on.workers == workers).map(|r| (place(r.on.events), r.rss_mib)).collect();
        (format!("{workers} worker{}", if workers == 1 { "" } else { "s" }), points)
    };
    let (lines, note) = colored(distinct(ours(report).map(|r| r.on.workers)).into_iter().map(per_workers).collect());
    let title = "Peak memory by input size";
    let caption =
        format!("Flat is better: memory must not grow with the input. The horizontal scale is logarithmic.{note}");
    figure(title, &caption, &legend(&lines), &chart::lines(title, "input events", "MiB resident", &x, &lines))
}

fn latency(report: &Report) -> String {
    let x: Vec<_> = ["p50", "p90", "p99", "max"].iter().enumerate().map(|(i, l)| (i as f64, l.to_string())).collect();
    let of = |l: &Latency| [l.p50, l.p90, l.p99, l.max].into_iter().enumerate().map(|(i, v)| (i as f64, v)).collect();
    let all: Vec<_> = ours(report).filter_map(|r| Some((r.on.to_string(), of(r.latency_ms.as_ref()?)))).collect();
    if all.is_empty() {
        return String::new();
    }
    let (lines, note) = colored(all);
    let title = "Latency of epochs";
    let caption =
        format!("Less is better. Measured {LATENCY}. Input is read as fast as it can be, so queues are full.{note}");
    figure(title, &caption, &legend(&lines), &chart::lines(title, "percentile", "ms", &x, &lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_page_stands_alone_and_its_tags_close() {
        let page = page(&report()).unwrap();
        for outside in ["http:", "https:", "src=", "@import", "url(", "<link", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
        for tag in ["figure", "svg", "table", "tr", "td", "dl", "text", "title", "style", "ul", "li", "pre"] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert!(opened > 0 && opened == page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert_eq!(page.matches("<figure>").count(), 5);
        assert!(page.contains("A &lt;fast&gt; &amp; &quot;cheap&quot; one") && !page.contains("<fast>"));
    }

    #[test]
    fn the_picture_stands_alone_with_a_bar_for_each_program() {
        let svg = picture(&report());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains("xmlns="), "{svg}");
        assert_eq!((svg.matches("c0 bar").count(), svg.matches("c1 bar").count()), (1, 1), "most events, one worker");
        assert!(svg.contains(">millstream<") && svg.contains(">by hand<"));
    }

    #[test]
    fn only_millstream_has_lines_but_all_programs_have_bars() {
        let r = report();
        assert_eq!(cpu(&r).matches("<rect").count(), 6);
        assert_eq!(throughput(&r).matches("<circle").count(), 3);
        assert_eq!(latency(&r).matches("<circle").count(), 12);
    }

    #[test]
    fn the_ideal_grows_with_the_workers() {
        let flat = |v| Summary { median: v, min: v, max: v };
        let line = |points| Line { name: "n".into(), color: Some(0), points };
        let i = ideal(&line(vec![(2.0, flat(10.0)), (3.0, flat(11.0)), (8.0, flat(20.0))])).unwrap();
        assert_eq!(i.points, [(2.0, flat(10.0)), (8.0, flat(40.0))]);
        assert!(ideal(&line(vec![(1.0, flat(10.0))])).is_none());
    }

    #[test]
    fn more_lines_than_colours_are_said() {
        let all = |n: usize| (0..n).map(|i| (i.to_string(), Vec::new())).collect();
        assert_eq!(colored(all(SERIES_MAX)).1, "");
        let (lines, note) = colored(all(SERIES_MAX + 1));
        assert!(lines.len() == SERIES_MAX && note.contains("of 7"), "{note}");
    }
}
