//! What `top` shows: one function from two looks at the figures to a frame.
use crate::progress::group;
use crate::stats::Stats;
use engine::figures::NodeFigures;
use model::Severity;
use ratatui::backend::TestBackend;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};
use ratatui::{Frame, Terminal};
use std::collections::VecDeque;

/// Seconds of throughput that are kept for the sparkline.
const HISTORY: usize = 240;
/// Partitions that are shown, the furthest behind first.
const LAG_SHOWN: usize = 8;
/// Rules that are shown, the loudest first.
const RULES_SHOWN: usize = 10;
/// Width of a plain frame, characters: at least, and at most.
const PLAIN_WIDTH: (usize, usize) = (110, 400);
/// Height of the sparkline, lines.
const SPARK: u16 = 3;

/// What a frame is made of.
pub struct View {
    now: Stats,
    before: Option<(Stats, f64)>,
    /// Events per second, newest last.
    history: VecDeque<u64>,
    /// Why there are no newer figures.
    pub gone: Option<String>,
}

impl View {
    /// From the first look.
    pub fn new(now: Stats) -> View {
        View { now, before: None, history: VecDeque::new(), gone: None }
    }
    /// Another look, `seconds` after the last.
    pub fn next(&mut self, now: Stats, seconds: f64) {
        let before = std::mem::replace(&mut self.now, now);
        self.before = Some((before, seconds));
        self.gone = None;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(self.throughput() as u64);
    }
    /// Records read per second, all sources.
    fn throughput(&self) -> f64 {
        self.now.figures.nodes.iter().filter(|n| n.section == "sources").map(|n| self.rate(n)).sum()
    }
    /// Per second between the two looks; since the start if there is one only.
    fn rate(&self, node: &NodeFigures) -> f64 {
        self.per_second(node, |n| work(n).map_or(0.0, |w| w.1 as f64))
    }
    fn per_second(&self, node: &NodeFigures, of: impl Fn(&NodeFigures) -> f64) -> f64 {
        match &self.before {
            None => of(node) / self.now.figures.uptime_seconds.max(1.0),
            Some((before, seconds)) => {
                let old = before.figures.nodes.iter().find(|b| b.node == node.node).map_or(0.0, &of);
                let new = of(node);
                (new - old).max(0.0) / seconds.max(1e-3)
            }
        }
    }
}

/// The counter that tells how much a node does, with its name.
fn work(n: &NodeFigures) -> Option<(&'static str, u64)> {
    let name = match n.section.as_str() {
        "sources" => "read",
        "parse" => "parsed",
        "transforms" => "kept",
        "detect" => "events",
        "enrich" => "hits",
        "correlate" | "dedup" | "limit" => "received",
        "sinks" => "written",
        _ => return None,
    };
    Some((name, n.counters.get(name).copied().unwrap_or(0)))
}

/// Draw a frame.
pub fn draw(view: &View, frame: &mut Frame) {
    let (head, body) = (head(view), body(view));
    let rows = Layout::vertical([
        Constraint::Length(head.len() as u16),
        Constraint::Length(SPARK),
        Constraint::Length(1),
        Constraint::Min(0),
    ])
    .split(frame.area());
    frame.render_widget(Paragraph::new(head), rows[0]);
    let shown = view.history.len().saturating_sub(rows[1].width as usize);
    let data: Vec<u64> = view.history.iter().skip(shown).copied().collect();
    frame.render_widget(Sparkline::default().data(&data).style(Style::new().fg(Color::Cyan)), rows[1]);
    frame.render_widget(Paragraph::new(body), rows[3]);
}

/// A frame as plain text, as high and as wide as it needs to be.
pub fn plain(view: &View) -> String {
    let lines = [head(view), body(view)].concat();
    let height = lines.len() as u16 + SPARK + 1;
    let width = lines.iter().map(Line::width).max().unwrap_or(0).clamp(PLAIN_WIDTH.0, PLAIN_WIDTH.1) as u16;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a buffer cannot fail");
    terminal.draw(|f| draw(view, f)).expect("a buffer cannot fail");
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_string();
    (0..height).map(row).collect::<Vec<_>>().join("\n").trim_end().to_string()
}

fn head(view: &View) -> Vec<Line<'static>> {
    let (s, f) = (&view.now, &view.now.figures);
    let color = if f.state == "live" { Color::Green } else { Color::Yellow };
    let mut out = vec![
        Line::from(vec![
            Span::from(format!("millstream {}  ", f.topology)).bold(),
            Span::from(f.state.clone()).fg(color),
            Span::from(format!(
                "  up {}  topology {}  incarnation {}  restarts {}",
                time(f.uptime_seconds),
                f.topology_generation,
                f.generation,
                s.process.restarts
            )),
        ]),
        Line::from(format!(
            "epoch {}  committed {}  in flight {} ({})  checkpoint {}, {} ago, {} in {:.0} ms",
            f.epoch,
            f.committed,
            f.in_flight,
            bytes(f.in_flight_bytes),
            f.checkpoint.epoch,
            time(f.checkpoint.age_seconds),
            bytes(f.checkpoint.bytes),
            f.checkpoint.seconds * 1e3
        )),
        Line::from(format!(
            "latency p50 {} ms  p90 {} ms  p99 {} ms  max {} ms  memory {}  cpu {:.1} s",
            f.latency.p50_ms,
            f.latency.p90_ms,
            f.latency.p99_ms,
            f.latency.max_ms,
            bytes(s.process.resident_bytes),
            s.process.cpu_seconds
        )),
        Line::from(s.ledger.clone()),
    ];
    for (what, why) in &f.waiting {
        out.push(Line::from(format!("waits: {what} {why}")).fg(Color::Yellow));
    }
    if let Some(why) = &view.gone {
        out.push(Line::from(why.clone()).fg(Color::Red));
    }
    out.push(Line::from(format!("{} events/s", group(view.throughput() as u64))).bold());
    out
}

fn title(text: String) -> Line<'static> {
    Line::from(text).add_modifier(Modifier::UNDERLINED)
}

fn body(view: &View) -> Vec<Line<'static>> {
    let f = &view.now.figures;
    let mut out = vec![title(format!(
        "{:<22}{:<12}{:>14}{:>12} {:<10}{:>7}{:>10}{:>18}{:>10}",
        "node", "section", "total", "per second", "", "cpu", "rejected", "state", "commit"
    ))];
    for n in f.nodes.iter().filter(|n| !n.section.is_empty()) {
        let (name, total) = work(n).unwrap_or(("", 0));
        let state = match (n.state_bytes, n.state_keys) {
            (Some(b), Some(k)) => format!("{} / {}", bytes(b), group(k)),
            _ => String::new(),
        };
        let commit = f.commits.iter().find(|c| c.sink == n.node && c.seconds.count() > 0);
        out.push(Line::from(format!(
            "{:<22}{:<12}{:>14}{:>12} {:<10}{:>7}{:>10}{:>18}{:>10}",
            short(&n.node, 21),
            n.section,
            group(total),
            group(view.rate(n) as u64),
            name,
            format!("{:.1} %", 100.0 * view.per_second(n, |n| n.cpu_seconds)),
            n.counters.get("rejected").map_or_else(String::new, |r| group(*r)),
            state,
            commit.map_or_else(String::new, |c| format!("{:.1} ms", c.seconds.mean_ms())),
        )));
    }
    if !f.lag.is_empty() {
        out.push(Line::default());
        let all: u64 = f.lag.iter().map(|l| l.records).sum();
        out.push(title(format!("{:<60}{:>14}{:>12}", format!("lag ({} in all)", group(all)), "records", "seconds")));
        let mut lag: Vec<_> = f.lag.iter().collect();
        lag.sort_by(|a, b| (b.records, &a.source, &a.partition).cmp(&(a.records, &b.source, &b.partition)));
        for l in lag.iter().take(LAG_SHOWN) {
            let name = short(&format!("{} {}", l.source, l.partition), 59);
            out.push(Line::from(format!("{name:<60}{:>14}{:>12.1}", group(l.records), l.seconds)));
        }
    }
    let new = |s: Severity| -> u64 {
        let dedup = |node: &str| f.nodes.iter().any(|n| n.node == node && n.section == "dedup");
        f.alerts.iter().filter(|a| a.severity == s && dedup(&a.node)).map(|a| a.n).sum()
    };
    let severities = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];
    if severities.iter().any(|s| new(*s) > 0) || !f.alerts_by_rule.is_empty() {
        out.push(Line::default());
        let all: Vec<String> = severities.iter().map(|s| format!("{} {}", s.as_str(), group(new(*s)))).collect();
        out.push(title(format!("alerts  {}", all.join("  "))));
        let mut rules: Vec<_> = f.alerts_by_rule.iter().collect();
        rules.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
        for (rule, n) in rules.into_iter().take(RULES_SHOWN) {
            out.push(Line::from(format!("{:<60}{:>14}", short(rule, 59), group(*n))));
        }
    }
    out
}

/// At most `max` characters.
fn short(s: &str, max: usize) -> String {
    match s.chars().count() > max {
        true => s.chars().take(max - 1).chain(['…']).collect(),
        false => s.into(),
    }
}

/// `1536` → `1.5 KiB`.
fn bytes(n: u64) -> String {
    let mut v = n as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if v < 1024.0 {
            return if unit == "B" { format!("{n} B") } else { format!("{v:.1} {unit}") };
        }
        v /= 1024.0;
    }
    format!("{v:.1} TiB")
}

/// `3725.0` → `1h 2m`.
fn time(seconds: f64) -> String {
    let s = seconds as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::figures::{AlertFigures, CommitFigures, LagFigures};

    fn node(node: &str, section: &str, counters: &[(&str, u64)]) -> NodeFigures {
        let counters = counters.iter().map(|(k, v)| (k.to_string(), *v)).collect();
        NodeFigures { node: node.into(), section: section.into(), counters, ..Default::default() }
    }

    fn stats(read: u64) -> Stats {
        let mut s = Stats { ledger: "epoch 41 | in 1,000 = parsed 990 + rejected 10".into(), ..Default::default() };
        let f = &mut s.figures;
        (f.topology, f.state, f.uptime_seconds) = ("shipped".into(), "live".into(), 3725.0);
        (f.generation, f.topology_generation) = (3, 2);
        (f.epoch, f.committed, f.in_flight, f.in_flight_bytes) = (42, 41, 1, 3 << 20);
        f.checkpoint.epoch = 40;
        f.checkpoint.bytes = 1536;
        f.checkpoint.seconds = 0.012;
        f.checkpoint.age_seconds = 3.2;
        (f.latency.p50_ms, f.latency.p99_ms) = (260, 300);
        f.nodes = vec![
            node("logs", "sources", &[("read", read)]),
            node("events", "parse", &[("parsed", read - 10), ("rejected", 10)]),
            node("window", "dedup", &[("received", 30), ("alerted", 7)]),
            node("alerts", "sinks", &[("written", 7)]),
            node("gone", "", &[("written", 1)]),
        ];
        (f.nodes[0].cpu_seconds, f.nodes[1].cpu_seconds) = (read as f64 / 20e3, read as f64 / 1250.0);
        (f.nodes[2].state_bytes, f.nodes[2].state_keys) = (Some(2048), Some(5));
        f.commits.push(CommitFigures { sink: "alerts".into(), ..Default::default() });
        f.commits[0].seconds.record(3);
        f.commits[0].seconds.record(4);
        f.lag.push(LagFigures { source: "logs".into(), partition: "cloudtrail/0".into(), records: 1200, seconds: 2.5 });
        for (node, severity, n) in
            [("window", Severity::High, 6), ("window", Severity::Info, 1), ("storm", Severity::High, 6)]
        {
            f.alerts.push(AlertFigures { node: node.into(), rule: "R".into(), severity, n });
        }
        f.alerts_by_rule = [("Quiet.Rule".to_string(), 1), ("Loud.Rule".to_string(), 6)].into();
        s.process.resident_bytes = 130 << 20;
        s.process.cpu_seconds = 12.34;
        s
    }

    const FRAME: &str = "\
millstream shipped  live  up 1h 2m  topology 2  incarnation 3  restarts 0
epoch 42  committed 41  in flight 1 (3.0 MiB)  checkpoint 40, 3s ago, 1.5 KiB in 12 ms
latency p50 260 ms  p90 0 ms  p99 300 ms  max 0 ms  memory 130.0 MiB  cpu 12.3 s
epoch 41 | in 1,000 = parsed 990 + rejected 10
500 events/s
█
█
█

node                  section              total  per second               cpu  rejected             state    commit
logs                  sources              2,000         500 read        2.5 %
events                parse                1,990         500 parsed     40.0 %        10
window                dedup                   30           0 received    0.0 %                 2.0 KiB / 5
alerts                sinks                    7           0 written     0.0 %                                3.5 ms

lag (1,200 in all)                                                 records     seconds
logs cloudtrail/0                                                    1,200         2.5

alerts  CRITICAL 0  HIGH 6  MEDIUM 0  LOW 0  INFO 1
Loud.Rule                                                                6
Quiet.Rule                                                               1";

    #[test]
    fn a_frame_says_what_the_figures_say() {
        let mut view = View::new(stats(1000));
        view.next(stats(2000), 2.0);
        assert_eq!(plain(&view), FRAME);
    }

    #[test]
    fn an_engine_that_has_gone_or_started_again_is_no_trouble() {
        let mut view = View::new(stats(1000));
        view.gone = Some("no engine answers".into());
        assert!(plain(&view).contains("no engine answers"));
        view.next(stats(100), 1.0);
        let text = plain(&view);
        assert!(!text.contains("no engine answers") && text.contains("\n0 events/s"), "{text}");
        for _ in 0..2 * HISTORY {
            view.next(stats(100), 1.0);
        }
        assert_eq!(view.history.len(), HISTORY);
    }

    #[test]
    fn a_small_terminal_shows_what_fits() {
        let mut terminal = Terminal::new(TestBackend::new(20, 4)).unwrap();
        terminal.draw(|f| draw(&View::new(stats(1000)), f)).unwrap();
        let first: String = (0..20).map(|x| terminal.backend().buffer()[(x, 0)].symbol()).collect();
        assert_eq!(first, "millstream shipped  ");
    }
}
