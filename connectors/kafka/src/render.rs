//! From a packet to rows: value, key, headers; and what happens to a row that is too large for the topic.
use crate::headers;
use crate::rows::Rows;
use model::{Change, Fields, Packet, Path, Pos, Record, Rejected, Result, json};
use serde_json::Value as J;
use std::sync::Arc;

/// What a key is made of.
pub(crate) enum Key {
    /// Alerts and matches: rule and dedup string. Others have none.
    Natural,
    /// None.
    None,
    /// A value of the record.
    At(Path),
}

/// Renders records to rows. What it makes is a function of the record and the settings alone.
pub(crate) struct Render {
    pub topology: Arc<str>,
    pub shard: u32,
    pub fields: Option<Fields>,
    pub only_new: bool,
    pub key: Key,
    /// Largest row (key, value and headers), bytes.
    pub max_row: usize,
    /// Rows that were replaced since the last call of [`Render::take_oversized`].
    pub oversized: u64,
    pub scratch: Vec<u8>,
}

/// Bytes a header costs besides its text, in the record format.
const HEADER_COST: usize = 10;

impl Render {
    /// Add what a packet holds.
    pub(crate) fn add(&mut self, packet: &Packet, rows: &mut Rows) -> Result<()> {
        match packet {
            Packet::Records(records) => records.iter().try_for_each(|r| self.record(r, rows)),
            Packet::Events(batch) => (0..batch.len()).try_for_each(|row| {
                let event = J::Object(batch.layout.full.event(batch, row));
                self.value(&event, None, batch.pos_of(row), rows)
            }),
            Packet::Raw(_) => Err("raw records cannot be written to Kafka; put a parser between".into()),
        }
    }

    /// How many rows were replaced because they were too large; counts from zero again.
    pub(crate) fn take_oversized(&mut self) -> u64 {
        std::mem::take(&mut self.oversized)
    }

    fn record(&mut self, record: &Record, rows: &mut Rows) -> Result<()> {
        match record {
            Record::Alert(a) if self.only_new && a.change == Change::Update => Ok(()),
            Record::Rejected(r) => self.rejected(r, rows),
            Record::Alert(a) => self.written(record, natural(&a.rule.id, &a.dedup), a.pos, rows),
            Record::Match(m) => self.written(record, natural(&m.rule.id, &m.dedup), m.pos, rows),
            Record::Event(e) => self.written(record, None, e.pos, rows),
            Record::Signal(s) => self.written(record, None, s.pos, rows),
            Record::Ledger(_) => self.written(record, None, Pos::default(), rows),
        }
    }

    /// The row of a record, without its JSON value unless the key is in it.
    fn written(&mut self, record: &Record, natural: Option<String>, pos: Pos, rows: &mut Rows) -> Result<()> {
        let key = match self.key {
            Key::Natural => natural,
            Key::None => None,
            Key::At(_) => return self.value(&record.to_json(), natural, pos, rows),
        };
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        match &self.fields {
            Some(f) => f.write(record, &mut bytes)?,
            None => record.write_json(&mut bytes)?,
        }
        self.push(key.as_deref().map(str::as_bytes), &bytes, pos, rows);
        self.scratch = bytes;
        Ok(())
    }

    fn value(&mut self, value: &J, natural: Option<String>, pos: Pos, rows: &mut Rows) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        match &self.fields {
            Some(f) => f.write_value(value, &mut bytes)?,
            None => serde_json::to_writer(&mut bytes, value)?,
        }
        let key = match &self.key {
            Key::Natural => natural,
            Key::None => None,
            Key::At(path) => match json::get(value, &path.0) {
                None | Some(J::Null) => None,
                Some(J::String(s)) => Some(s.clone()),
                Some(v) => Some(v.to_string()),
            },
        };
        self.push(key.as_deref().map(str::as_bytes), &bytes, pos, rows);
        self.scratch = bytes;
        Ok(())
    }

    fn push(&mut self, key: Option<&[u8]>, value: &[u8], pos: Pos, rows: &mut Rows) {
        let size = key.map_or(0, <[u8]>::len) + value.len();
        if size <= self.max_row {
            return rows.push(key, value, &[]);
        }
        self.oversized += 1;
        let note = serde_json::json!({
            "millstream": "record_too_large",
            "reason": format!("the record has {size} bytes, max_record is {}", self.max_row),
            "bytes": size,
            "source": pos.source, "partition": pos.partition, "offset": pos.offset, "ordinal": pos.ordinal,
            "rowId": format!("{:032x}", pos.row_id()),
        });
        rows.push(key.filter(|k| k.len() <= self.max_row / 2), note.to_string().as_bytes(), &[]);
    }

    /// The original bytes, untouched; cut (and marked so) only where they do not fit.
    fn rejected(&mut self, r: &Rejected, rows: &mut Rows) -> Result<()> {
        let size = |h: &[(&str, String)]| h.iter().map(|(k, v)| k.len() + v.len() + HEADER_COST).sum::<usize>();
        let mut h = headers::of(r, &self.topology, self.shard, r.truncated);
        if size(&h) > self.max_row / 2 {
            // A reason of this length is a quotation; its beginning says enough.
            let most = self.max_row / 2 / h.len().max(1) / 2;
            h.iter_mut().for_each(|(_, v)| cut(v, most));
        }
        let room = self.max_row.saturating_sub(size(&h));
        let value = r.raw.get(..room).unwrap_or(&r.raw);
        if value.len() < r.raw.len() {
            self.oversized += 1;
            h.iter_mut().filter(|(k, _)| *k == headers::TRUNCATED).for_each(|(_, v)| *v = "true".into());
        }
        let h: Vec<(&str, &[u8])> = h.iter().map(|(k, v)| (*k, v.as_bytes())).collect();
        rows.push(None, value, &h);
        Ok(())
    }
}

fn natural(rule: &str, dedup: &str) -> Option<String> {
    Some(format!("{rule}/{dedup}"))
}

fn cut(text: &mut String, most: usize) {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Alert, RuleMeta};

    fn render(max_row: usize) -> Render {
        Render {
            topology: "t".into(),
            shard: 3,
            fields: None,
            only_new: true,
            key: Key::Natural,
            max_row,
            oversized: 0,
            scratch: Vec::new(),
        }
    }

    fn alert(dedup: &str, change: Change) -> Record {
        let rule = Arc::new(RuleMeta { id: "R".into(), ..RuleMeta::default() });
        Record::Alert(Box::new(Alert { dedup: dedup.into(), rule, change, ..Alert::default() }))
    }

    #[test]
    fn keys_and_what_is_passed_over() {
        let mut rows = Rows::default();
        let mut r = render(1 << 20);
        let packet = Packet::Records(vec![alert("a", Change::New), alert("a", Change::Update)]);
        r.add(&packet, &mut rows).unwrap();
        r.key = Key::At(Path::parse("dedup").unwrap());
        r.add(&packet, &mut rows).unwrap();
        r.key = Key::None;
        r.fields = Some(Fields::parse(&["d=dedup".into()]).unwrap());
        r.add(&packet, &mut rows).unwrap();
        let keys: Vec<_> = rows.iter().map(|r| r.key.map(|k| String::from_utf8_lossy(k).to_string())).collect();
        assert_eq!(keys, [Some("R/a".into()), Some("a".into()), None]);
        assert_eq!(rows.iter().last().unwrap().value, br#"{"d":"a"}"#);
        assert!(r.add(&Packet::Raw(Default::default()), &mut rows).is_err());
    }

    #[test]
    fn a_row_that_is_too_large_is_replaced_by_its_position() {
        let mut rows = Rows::default();
        let mut r = render(2000);
        r.add(&Packet::Records(vec![alert(&"x".repeat(3000), Change::New)]), &mut rows).unwrap();
        let row = rows.iter().next().unwrap();
        let j: J = serde_json::from_slice(row.value).unwrap();
        assert_eq!((&j["millstream"], &j["offset"], row.key), (&J::from("record_too_large"), &J::from(0), None));
        assert_eq!((r.take_oversized(), r.take_oversized()), (1, 0));
    }

    #[test]
    fn rejected_bytes_stay_as_they_are_or_are_cut_and_say_so() {
        let raw: Vec<u8> = (0..=255).collect();
        let rejected =
            |raw: Vec<u8>| Record::Rejected(Box::new(Rejected { raw, reason: "bad".into(), ..Rejected::default() }));
        let mut rows = Rows::default();
        let mut r = render(4000);
        r.add(&Packet::Records(vec![rejected(raw.clone()), rejected(vec![7; 9000])]), &mut rows).unwrap();
        let got: Vec<_> = rows.iter().collect();
        let truncated = |i: usize| got[i].headers().find(|(k, _)| *k == headers::TRUNCATED).unwrap().1;
        assert_eq!((got[0].value, truncated(0)), (raw.as_slice(), b"false".as_slice()));
        let size = got[1].value.len() + got[1].headers().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        assert!(size <= 4000 && got[1].value.len() > 2000, "{size}");
        assert_eq!(truncated(1), b"true");
    }
}
