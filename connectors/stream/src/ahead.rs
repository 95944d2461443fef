//! Reads a stream that can only be read from its beginning, on a thread of its own and a few packets ahead of whoever
//! takes them. A packed file may hold a hundred times its size: it must not all be in memory because it is one split, and
//! unpacking it takes longer than parsing what is in it.
use crate::{Batcher, How, read};
use model::{Origin, Packet, Split};
use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Packets that are made before somebody takes them.
const AHEAD: usize = 2;

/// The split that a reader is in. One at a time: it is read to its end before the next.
#[derive(Default)]
pub struct Ahead(Option<Running>);

struct Running {
    split: Split,
    packets: Receiver<Packet>,
    thread: JoinHandle<io::Result<()>>,
}

impl Ahead {
    /// Is this the split that was begun and is not at its end?
    pub fn reads(&self, split: &Split) -> bool {
        self.0.as_ref().is_some_and(|r| r.split == *split)
    }

    /// Begin a split. `numbered`: see [`Batcher::numbered`]. Errors: another is not at its end, or the system has no thread.
    pub fn begin(
        &mut self,
        raw: impl Read + Send + 'static,
        how: How,
        split: &Split,
        origin: &Arc<Origin>,
        numbered: bool,
    ) -> io::Result<()> {
        if let Some(Running { split, .. }) = &self.0 {
            return Err(io::Error::other(format!("{} has not been read to its end", split.name)));
        }
        let (give, packets) = sync_channel(AHEAD);
        let (of, origin) = (split.clone(), origin.clone());
        let thread = std::thread::Builder::new().name("unpack".into()).spawn(move || {
            let gone = Rc::new(Cell::new(false));
            let raw = Watched { raw, gone: gone.clone() };
            let mut out = |packet| gone.set(gone.get() || give.send(packet).is_err());
            let batch = Batcher::new(&of, &origin, &mut out);
            read(raw, &how, if numbered { batch.numbered(of.from) } else { batch })
        })?;
        self.0 = Some(Running { split: split.clone(), packets, thread });
        Ok(())
    }

    /// Hand out the next packet of the split that was begun. Gives the offset that [`model::Reader::read_part`] is to give:
    /// the end after the last packet. Errors: those of the raw bytes.
    pub fn part(&mut self, out: &mut dyn FnMut(Packet)) -> io::Result<u64> {
        let Some(running) = &self.0 else { return Err(io::Error::other("no split was begun")) };
        let (from, to) = (running.split.from, running.split.to);
        while let Ok(packet) = running.packets.recv() {
            out(packet);
            if from < to {
                return Ok(from);
            }
        }
        match self.0.take().map(|r| r.thread.join()) {
            Some(Ok(read)) => read.map(|()| to),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(to),
        }
    }
}

/// Raw bytes that end when nobody takes the packets any more.
struct Watched<R> {
    raw: R,
    gone: Rc<Cell<bool>>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.gone.get() {
            return Err(io::Error::other("nobody takes what is read"));
        }
        self.raw.read(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Limits;
    use crate::{Codec, Stream};
    use model::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn split(name: &str, to: u64) -> Split {
        let detail = serde_json::Value::Null;
        Split { source: "s".into(), partition: 3, name: name.into(), from: 0, to, detail, lane: 0 }
    }

    fn how() -> How {
        let limits = Limits { ratio: 1000, decoded: 1 << 40 };
        How { codec: Codec::Plain, stream: Stream::Lines, array: Path::default(), max_record: 1 << 20, limits }
    }

    /// Lines of 64 bytes without end, which fail after so many bytes; counts those it gave.
    struct Lines(Arc<AtomicU64>, u64);

    impl Read for Lines {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.load(Ordering::Relaxed) >= self.1 {
                return Err(io::Error::other("the disk is gone"));
            }
            let n = buf.len() / 64 * 64;
            buf[..n].fill(b'x');
            buf[..n].iter_mut().skip(63).step_by(64).for_each(|b| *b = b'\n');
            self.0.fetch_add(n as u64, Ordering::Relaxed);
            Ok(n)
        }
    }

    fn records(ahead: &mut Ahead) -> (usize, io::Result<u64>) {
        let mut records = 0;
        let next = ahead.part(&mut |p| match p {
            Packet::Raw(raw) => records += raw.records.len(),
            other => panic!("{other:?}"),
        });
        (records, next)
    }

    #[test]
    fn one_packet_at_a_time_and_the_end_by_itself() {
        let (mut ahead, split) = (Ahead::default(), split("f", 700));
        let text: Vec<u8> = b"line\n".repeat(700_000);
        let origin = split.origin(0);
        ahead.begin(io::Cursor::new(text), how(), &split, &origin, false).unwrap();
        assert!(
            ahead.begin(io::empty(), how(), &split, &origin, false).unwrap_err().to_string().contains("f has not been")
        );
        let (mut all, mut parts) = (0, 0);
        loop {
            assert!(ahead.reads(&split) && !ahead.reads(&Split { to: 1, ..split.clone() }));
            let (records, next) = records(&mut ahead);
            (all, parts) = (all + records, parts + 1);
            if next.unwrap() == split.to {
                break;
            }
        }
        assert!(all == 700_000 && parts > 2 && !ahead.reads(&split), "{all} in {parts}");
        assert!(ahead.part(&mut |_| ()).is_err(), "nothing was begun");
    }

    #[test]
    fn no_more_is_read_than_a_few_packets_ahead() {
        let (given, split) = (Arc::new(AtomicU64::new(0)), split("endless", 1 << 30));
        let mut ahead = Ahead::default();
        ahead.begin(Lines(given.clone(), u64::MAX), how(), &split, &split.origin(0), false).unwrap();
        let mut taken = 0;
        for _ in 0..20 {
            taken += 64 * records(&mut ahead).0 as u64;
            // Two wait, one is being handed over, one is being made, and a block of the reader.
            let most = taken + (AHEAD as u64 + 2) * crate::batch::BATCH as u64 + (1 << 20);
            assert!(given.load(Ordering::Relaxed) <= most);
        }
        assert!(taken > 20 << 20, "full batches");
        let (read, last) = (|| given.load(Ordering::Relaxed), given.load(Ordering::Relaxed));
        drop(ahead);
        // The thread ends by itself; it may be in a block.
        let stopped = (0..1_000).any(|_| {
            let before = read();
            std::thread::sleep(std::time::Duration::from_millis(10));
            Arc::strong_count(&given) == 1 && before == read()
        });
        assert!(stopped && read() - last <= (AHEAD as u64 + 3) * crate::batch::BATCH as u64);
    }

    #[test]
    fn bytes_that_cannot_be_read_are_an_error_behind_what_could() {
        let (mut ahead, split) = (Ahead::default(), split("f", 700));
        let lines = Lines(Arc::new(AtomicU64::new(0)), 3 << 20);
        ahead.begin(lines, how(), &split, &split.origin(0), false).unwrap();
        let mut all = 0;
        let error = loop {
            match records(&mut ahead) {
                (n, Ok(0)) => all += n,
                (_, next) => break next.unwrap_err(),
            }
        };
        assert!(
            all >= (3 << 20) / 64 && error.to_string().contains("the disk is gone") && !ahead.reads(&split),
            "{all}"
        );
    }

    #[test]
    fn an_empty_split_is_read_at_once() {
        let (mut ahead, split) = (Ahead::default(), split("f", 0));
        let text: Vec<u8> = b"line\n".repeat(700_000);
        ahead.begin(io::Cursor::new(text), how(), &split, &split.origin(0), false).unwrap();
        let (all, next) = records(&mut ahead);
        assert_eq!((all, next.unwrap()), (700_000, 0));
    }
}
