//! `millstream tap`: what leaves a node of a running engine, as JSON lines.
use crate::cli::TapArgs;
use crate::control::{TapClient, TapEnd, TapLine};
use crate::{check, exit};
use anyhow::Result;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Show rows until there are enough, the time is up, the reader has gone, or the engine has.
pub fn tap(args: &TapArgs) -> Result<i32> {
    let dir = check::running_dir(&args.topology)?;
    match show(&dir, args, &mut std::io::stdout().lock()) {
        Ok(Some(end)) => {
            eprintln!(
                "millstream: {} rows left {} meanwhile; {} were sampled, {} lost because they were not read in time",
                end.seen,
                args.node,
                end.shown + end.dropped,
                end.dropped
            );
            Ok(0)
        }
        Ok(None) => Ok(0),
        Err(e) => {
            eprintln!("error: {e:#}");
            Ok(exit::UNAVAILABLE)
        }
    }
}

/// `None` if whoever reads `out` has gone.
fn show(dir: &Path, args: &TapArgs, out: &mut impl Write) -> Result<Option<TapEnd>> {
    let mut tap = TapClient::open(dir, &args.node)?;
    let began = Instant::now();
    let (mut rows, mut closed) = (0, false);
    loop {
        let enough = args.count.is_some_and(|c| rows >= c);
        let late = args.seconds.is_some_and(|s| began.elapsed() >= Duration::from_secs(s));
        if (enough || late) && !closed {
            closed = true;
            tap.close()?;
        }
        match tap.next()? {
            TapLine::End(end) => return Ok(Some(end)),
            TapLine::Row(row) if !closed => {
                rows += 1;
                match writeln!(out, "{row}").and_then(|()| out.flush()) {
                    Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(None),
                    r => r?,
                }
            }
            TapLine::Row(_) | TapLine::Silence => {}
        }
    }
}
