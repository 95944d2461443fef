//! Worker side: reads an object exactly as it was logged.
use super::Config;
use super::clients::Clients;
use super::detail::Detail;
use super::prefix::form;
use crate::blob::{Blob, Download, Effort, RANGE};
use crate::runtime::wait;
use model::source::SOON;
use model::{Origin, Packet, Reader, Result, Split};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use stream::{Ahead, Batcher, How, WINDOW, sniff};

/// Bytes of objects that are fetched before their turn.
pub(crate) const COMING_MAX: u64 = 32 << 20;

/// See the module.
pub(crate) struct ObjectReader {
    config: Arc<Config>,
    clients: Arc<Clients>,
    ahead: Ahead,
    /// The next objects, in the order of reading, with their first range on its way: a small object takes longer to come
    /// than to read.
    coming: VecDeque<(Split, Download)>,
}

impl ObjectReader {
    pub(crate) fn new(config: Arc<Config>, clients: Arc<Clients>) -> ObjectReader {
        ObjectReader { config, clients, ahead: Ahead::default(), coming: VecDeque::new() }
    }

    fn download(&self, split: &Split, d: &Detail) -> Download {
        let blob = Blob {
            client: wait(self.clients.s3(d.region.as_deref())),
            bucket: d.bucket.clone(),
            key: d.key.clone(),
            version: d.version.clone(),
            etag: Some(format!("\"{}\"", d.etag)),
        };
        let what = format!("source {}: read from s3://{}", split.source, d.bucket);
        Download::new(Arc::new(blob), 0, d.size, Effort::Endless(what.into()))
    }

    /// Objects that are fetched before their turn.
    #[cfg(test)]
    pub(crate) fn coming(&self) -> usize {
        self.coming.len()
    }
}

impl Reader for ObjectReader {
    fn soon(&mut self, split: &Split) {
        let first = |size: u64| size.min(RANGE);
        let Some(d) = Detail::of(split).ok().filter(|d| d.fault.is_none()) else { return };
        let coming: u64 = self.coming.iter().map(|(_, bytes)| first(bytes.size())).sum();
        if self.coming.len() < SOON && coming + first(d.size) <= COMING_MAX {
            let mut bytes = self.download(split, &d);
            bytes.begin();
            self.coming.push_back((split.clone(), bytes));
        }
    }

    fn read_part(
        &mut self,
        split: &Split,
        _from: u64,
        origin: &Arc<Origin>,
        out: &mut dyn FnMut(Packet),
    ) -> Result<u64> {
        let d = Detail::of(split)?;
        let failed = |e: io::Error| no_replay(split, &d, &e.to_string());
        if self.ahead.reads(split) {
            return self.ahead.part(out).map_err(failed);
        }
        let form = form(&self.config.prefixes, &d.key);
        let label = form.and_then(|f| f.label.clone()).unwrap_or_else(|| origin.label.clone());
        let origin = Arc::new(Origin { name: d.name().into(), label, ..(**origin).clone() });
        if let Some(f) = &d.fault {
            let mut batch = Batcher::new(split, &origin, out).numbered(split.from);
            batch.reject((0, 0), &f.code, f.reason.clone(), f.raw.as_bytes(), f.len);
            return Ok(split.to);
        }
        let form = form.ok_or_else(|| format!("{}: no prefix of the settings holds {}", split.source, d.name()))?;
        // They are told in the order of reading: none before this one will be asked for.
        let at = self.coming.iter().position(|(s, _)| s == split);
        let begun = at.and_then(|at| self.coming.drain(..=at).next_back());
        let mut bytes = begun.map_or_else(|| self.download(split, &d), |(_, bytes)| bytes);
        let mut head = Vec::new();
        (&mut bytes).take(WINDOW as u64).read_to_end(&mut head).map_err(failed)?;
        let (codec, stream) = sniff(&head, form.stream);
        let limits = self.config.limits;
        let how = How { codec, stream, array: form.array.clone(), max_record: self.config.max_record, limits };
        self.ahead.begin(io::Cursor::new(head).chain(bytes), how, split, &origin, true).map_err(failed)?;
        self.ahead.part(out).map_err(failed)
    }
}

fn no_replay(split: &Split, d: &Detail, why: &str) -> model::Error {
    let version = d.version.as_ref().map(|v| format!(", version {v}")).unwrap_or_default();
    format!(
        "input no longer replays: {} (source {}; etag {}{version}, {} bytes) cannot be read as it was logged: {why}; put \
         the object back as it was and see that it may be read (s3:GetObject, kms:Decrypt), or start over with an empty \
         data folder",
        d.name(),
        split.source,
        d.etag,
        d.size
    )
    .into()
}
