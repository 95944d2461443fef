//! The rows of one epoch on their way out, as bytes: rendered when staged, written when committed.
use model::{Change, Fields, Packet, Receipt, Record, Result};
use xxhash_rust::xxh3::xxh3_128;

/// Renders records to JSON lines.
pub(crate) struct Rows {
    fields: Option<Fields>,
    only_new: bool,
    bytes: Vec<u8>,
    rows: u64,
}

impl Rows {
    /// `fields`: a projection in place of the whole record; `only_new`: updates of alerts are passed over.
    pub(crate) fn new(fields: Option<Fields>, only_new: bool) -> Rows {
        Rows { fields, only_new, bytes: Vec::new(), rows: 0 }
    }

    /// Render what a packet holds.
    pub(crate) fn add(&mut self, packet: &Packet) -> Result<()> {
        match packet {
            Packet::Records(records) => records.iter().try_for_each(|r| self.record(r)),
            Packet::Events(batch) => (0..batch.len()).try_for_each(|row| {
                let event = serde_json::Value::Object(batch.layout.full.event(batch, row));
                self.value(&event)
            }),
            Packet::Raw(_) => Err("raw records cannot be written as JSON lines; put a parser between".into()),
        }
    }

    fn record(&mut self, record: &Record) -> Result<()> {
        if self.only_new && matches!(record, Record::Alert(a) if a.change == Change::Update) {
            return Ok(());
        }
        match (&self.fields, record) {
            (Some(f), r) => f.write(r, &mut self.bytes)?,
            (None, r) => r.write_json(&mut self.bytes)?,
        }
        self.end();
        Ok(())
    }

    fn value(&mut self, value: &serde_json::Value) -> Result<()> {
        match &self.fields {
            Some(f) => f.write_value(value, &mut self.bytes)?,
            None => serde_json::to_writer(&mut self.bytes, value)?,
        }
        self.end();
        Ok(())
    }

    fn end(&mut self) {
        self.bytes.push(b'\n');
        self.rows += 1;
    }

    /// Lines staged so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Count and hash of what is staged; forgets it.
    pub(crate) fn take(&mut self) -> Receipt {
        let digest = format!("{:032x}", xxh3_128(&self.bytes));
        self.bytes.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        Receipt { rows: std::mem::take(&mut self.rows), digest, ..Receipt::default() }
    }
}

/// Buffer kept from epoch to epoch; a larger one is given back.
const KEEP: usize = 8 << 20;
