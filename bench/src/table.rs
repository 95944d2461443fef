//! The report for people: facts, a table of medians, and what follows from them, in sentences.
use crate::report::{Latency, Marginal, Report, Row};
use crate::stats::{Summary, group, scaled, short};
use std::collections::BTreeSet;

/// Columns of the table.
const COLUMNS: usize = 13;

/// What latency means, where a report shows it.
pub const LATENCY: &str =
    "for each epoch, from its first input being offered until its output is committed; percentiles over a run's epochs";
/// What a busy machine means for the figures.
pub const BUSY: &str = "The machine was busy when this started: wall times, events/s and MB/s are lower bounds.";

impl Report {
    /// A table for people.
    pub fn human(&self) -> String {
        let mut out = format!("{}: {}\n", self.case, self.about);
        for (key, value) in self.facts() {
            out += &format!("{key:<8} {value}\n");
        }
        out += &format!("\n{}", self.table());
        for (on, nodes) in self.nodes() {
            let all: Vec<String> = nodes.iter().map(|(n, s)| format!("{n} {}", short(s.median))).collect();
            out += &format!("\n{on}, CPU µs per event by node: {}", all.join(", "));
        }
        for line in self.findings() {
            out += &format!("\n{line}");
        }
        out + &format!("\nlatency: {LATENCY}\n")
    }

    /// What a reader must know beside the figures, by name.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("started", self.started.clone()),
            ("machine", self.machine.line()),
            ("commit", self.machine.commit.clone().unwrap_or_else(|| "not a git checkout".into())),
            ("command", self.command.clone()),
            (
                "runs",
                format!("{} of each row, in turn; median (smallest–largest); input seed {}", self.runs, self.seed),
            ),
        ]
    }

    /// Sentences that follow from the figures.
    pub fn findings(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for a in &self.against {
            out.push(format!(
                "{}: {}{} takes {} times the CPU of millstream (medians), {} pair by pair",
                a.on,
                a.program,
                a.about.as_ref().map_or(String::new(), |about| format!(" ({about})")),
                short(a.of_medians),
                a.of_pairs.text(short)
            ));
        }
        for workers in self.marginal.iter().map(|m| m.workers).collect::<BTreeSet<_>>() {
            let all = || self.marginal.iter().filter(|m| m.workers == workers);
            let [few, many] = all().next().map_or([0; 2], |m| m.between);
            let one = |m: &Marginal| format!("{} {} ({} times)", m.program, short(m.us.median), short(m.of_ours));
            out.push(format!(
                "{workers} worker{}: one more event, from {} to {} of them, costs CPU µs: {}",
                if workers == 1 { "" } else { "s" },
                group(few),
                group(many),
                all().map(one).collect::<Vec<_>>().join(", ")
            ));
        }
        for s in &self.scale {
            out.push(format!("{}: {} times the events/s of 1 worker", s.on, short(s.times)));
        }
        if let Some(m) = &self.memory {
            let point = |(n, rss): &(u64, Summary)| format!("{} MiB at {} events", rss.text(short), group(*n));
            let (small, large) = (point(&m.small), point(&m.large));
            out.push(format!(
                "peak memory, {} workers: {small}, {large}: {} times as much for 10 times the input",
                m.workers,
                short(m.growth)
            ));
        }
        if self.machine.busy() {
            out.push(BUSY.into());
        }
        out
    }

    /// What each node took, by configuration.
    pub fn nodes(&self) -> Vec<(String, &[(String, Summary)])> {
        let told = self.rows.iter().filter(|r| !r.nodes_us.is_empty());
        told.map(|r| (r.on.to_string(), &*r.nodes_us)).collect()
    }

    /// Heads of the table's columns.
    pub fn head() -> [&'static str; COLUMNS] {
        let [a, b, c, d, e] = ["events/s", "MB/s", "CPU s / M events", "events / CPU s", "peak MiB"];
        ["events", "workers", "program", "alerts", a, b, c, d, e, "p50 ms", "p90 ms", "p99 ms", "max ms"]
    }

    /// Cells of the table.
    pub fn cells(&self) -> Vec<[String; COLUMNS]> {
        let cell = |r: &Row| {
            let latency = |f: fn(&Latency) -> Summary| r.latency_ms.as_ref().map_or("–".into(), |l| ms(f(l).median));
            [
                group(r.on.events),
                r.on.workers.to_string(),
                r.program.clone(),
                group(r.alerts),
                r.events_per_s.text(scaled),
                short(r.mb_per_s.median),
                r.cpu_s_per_million.text(short),
                scaled(r.events_per_cpu_s.median),
                r.rss_mib.text(|x| group(x.round() as u64)),
                latency(|l| l.p50),
                latency(|l| l.p90),
                latency(|l| l.p99),
                latency(|l| l.max),
            ]
        };
        self.rows.iter().map(cell).collect()
    }

    fn table(&self) -> String {
        let lines: Vec<[String; COLUMNS]> =
            std::iter::once(Self::head().map(String::from)).chain(self.cells()).collect();
        let width = |i: usize| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
        let mut out = String::new();
        for line in &lines {
            let cells = line
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(i, (c, w))| if i == 2 { format!("{c:<w$}") } else { format!("{c:>w$}") });
            out += cells.collect::<Vec<_>>().join("  ").trim_end();
            out.push('\n');
        }
        out
    }
}

/// Milliseconds: the engine counts whole ones.
fn ms(x: f64) -> String {
    if x < 10.0 { short(x) } else { group(x.round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_table_is_aligned() {
        let text = report().human();
        let table: Vec<&str> = text.lines().skip_while(|l| !l.contains("events/s")).take(7).collect();
        assert!(table.len() == 7 && table[1].contains("millstream"), "{text}");
        let ends: Vec<usize> = table.iter().map(|l| l.chars().count()).collect();
        assert!(ends.iter().all(|e| *e == ends[0]), "{text}");
        assert!(
            text.contains("1,000,000 events, 1 worker, CPU µs per event by node: parse 1.58, (rest) 0.525")
                && text.contains("2.10 (2.00–2.50)")
                && text.contains("takes 2.38 times the CPU")
                && text.contains(BUSY),
            "{text}"
        );
    }
}
