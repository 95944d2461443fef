//! The `stdout` sink: records on the terminal, as JSON lines or one short line each.
//!
//! Not exactly once: a terminal cannot take back what it showed, so a crash between showing and recording an epoch
//! shows it again. A reader that goes away (`| head`) ends the output, not the run.
use super::jsonl::{INPUTS, Only};
use super::rows::Rows;
use model::part::{Kind, Opened, Sharding};
use model::record::{Alert, Match, Rejected};
use model::{
    BuildCx, Built, Change, EpochInfo, Fields, Files, Node, Packet, Part, Problem, Receipt, Record, Result, Sink, Spec,
    time,
};
use serde::Deserialize;
use std::fmt::Write as _;
use std::io::{self, Write};

/// `type = "stdout"`; see the module.
pub struct StdoutPart;

/// Settings of a `stdout` sink.
#[derive(Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `pretty`: a short line per record. `json`: the record as a JSON line.
    #[serde(default)]
    format: Format,
    /// Values to write in place of the whole record, with `format = "json"`; see the `jsonl` sink.
    fields: Option<Vec<String>>,
    /// `new`: alerts are shown when they begin, not when more events join them.
    #[serde(default)]
    only: Only,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Pretty,
    Json,
}

impl Part for StdoutPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Sink,
            name: "stdout",
            doc: "Shows records on the terminal; after a crash some may be shown again.",
            inputs: INPUTS,
            outputs: &[],
            sharding: Sharding::Single,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, _id: &str, settings: &serde_json::Value, _files: &dyn Files) -> Opened {
        let s = match Settings::deserialize(settings) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let mut problems = s.fields.as_ref().map_or(Ok(()), |f| Fields::parse(f).map(drop)).err().unwrap_or_default();
        if s.fields.is_some() && s.format == Format::Pretty {
            problems.push(Problem::at("fields", "fields are shown as JSON only").hint("set format = \"json\""));
        }
        if problems.is_empty() { Opened::ok(StdoutNode(s)) } else { Opened::failed(problems) }
    }
}

struct StdoutNode(Settings);

impl Node for StdoutNode {
    fn build(&self, _cx: &BuildCx) -> Result<Built> {
        let fields = self
            .0
            .fields
            .as_ref()
            .map(|f| Fields::parse(f))
            .transpose()
            .map_err(|p| format!("fields: {}", p[0].message))?;
        let pretty = (self.0.format == Format::Pretty).then(String::new);
        let rows = Rows::new(fields, self.0.only == Only::New);
        Ok(Built::Sink(Box::new(Stdout { rows, pretty, only_new: self.0.only == Only::New, gone: false })))
    }
}

struct Stdout {
    /// The JSON form; also what the receipt is made of.
    rows: Rows,
    /// The short lines, if those are shown.
    pretty: Option<String>,
    only_new: bool,
    /// Nobody reads any more.
    gone: bool,
}

impl Stdout {
    fn show(&mut self) -> Result<()> {
        let bytes = self.pretty.as_ref().map_or(self.rows.bytes(), |p| p.as_bytes());
        if self.gone || bytes.is_empty() {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.gone = true,
            r => r.map_err(|e| format!("cannot write to standard output: {e}"))?,
        }
        Ok(())
    }
}

impl Sink for Stdout {
    fn recover(&mut self, _last: Option<&Receipt>) -> Result<()> {
        Ok(())
    }
    fn stage(&mut self, packet: &Packet) -> Result<()> {
        self.rows.add(packet)?;
        if let (Some(text), Packet::Records(records)) = (&mut self.pretty, packet) {
            records.iter().filter(|r| !(self.only_new && is_update(r))).for_each(|r| line(r, text));
        }
        Ok(())
    }
    fn commit(&mut self, _info: &EpochInfo) -> Result<Option<Receipt>> {
        self.show()?;
        self.discard(_info)
    }
    fn discard(&mut self, _info: &EpochInfo) -> Result<Option<Receipt>> {
        if let Some(p) = &mut self.pretty {
            p.clear();
        }
        Ok(Some(self.rows.take()))
    }
}

fn is_update(r: &Record) -> bool {
    matches!(r, Record::Alert(a) if a.change == Change::Update)
}

/// One short line. Text from events is shown without its control characters: a log must not write on the terminal.
fn line(record: &Record, out: &mut String) {
    let done = match record {
        Record::Alert(a) => alert(a, out),
        Record::Match(m) => matched(m, out),
        Record::Rejected(r) => rejected(r, out),
        Record::Event(e) => write!(out, "event     {}", plain(&e.json)),
        Record::Signal(s) => write!(out, "signal    {} {}", plain(&s.correlation), plain(&s.key.join(" "))),
        Record::Ledger(l) => write!(out, "ledger    epoch {} {} {} {} = {}", l.epoch, l.node, l.rule, l.counter, l.n),
    };
    if done.is_ok() {
        out.push('\n');
    }
}

fn alert(a: &Alert, out: &mut String) -> std::fmt::Result {
    let (when, change) = (time::rfc3339_ms(a.updated_ms), if a.change == Change::New { "" } else { " (more events)" });
    let title = if a.title.is_empty() { &*a.rule.id } else { a.title.as_str() };
    write!(out, "{:<9} {when} {}: {} [{} events]{change}", a.severity.as_str(), a.rule.id, plain(title), a.event_count)
}

fn matched(m: &Match, out: &mut String) -> std::fmt::Result {
    let what = m.error.as_deref().unwrap_or(&m.title);
    let kind = if m.error.is_some() { "failed" } else { "match" };
    write!(out, "{kind:<9} {} {}: {}", time::rfc3339_ms(m.event_ms), m.rule.id, plain(what))
}

fn rejected(r: &Rejected, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        "rejected  {} {}/{}: {} ({} byte {})",
        r.node,
        r.stage,
        r.code,
        plain(&r.reason),
        plain(&r.origin),
        r.pos.offset
    )
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_per_record_without_control_characters() {
        let mut s = Stdout { rows: Rows::new(None, true), pretty: Some(String::new()), only_new: true, gone: true };
        let a =
            |change| Record::Alert(Box::new(Alert { title: "evil\u{1b}[2J\nline".into(), change, ..Alert::default() }));
        let rows = vec![
            a(Change::New),
            a(Change::Update),
            Record::Match(Default::default()),
            Record::Rejected(Default::default()),
        ];
        s.stage(&Packet::Records(rows)).unwrap();
        let text = s.pretty.clone().unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.starts_with("INFO ")
                && text.contains("evil [2J line")
                && text.contains("\nmatch ")
                && text.contains("\nrejected ")
        );
        let info = EpochInfo { epoch: 1, now_ms: 0, commands: vec![], snapshot: false, seal: false };
        assert_eq!(s.commit(&info).unwrap().unwrap().rows, 3);
        assert!(s.pretty.unwrap().is_empty());
    }
}
