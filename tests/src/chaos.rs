//! Faults against the reference job on a real Kafka, judged by the [`crate::checker`]. A row of the fault table is a file
//! with a function `(ctx, count) -> RowReport`; `count` is how many faults must hit the job while it works.

mod ctx;
mod job;
mod rows;

pub use ctx::{Ctx, RowReport, Scale};
pub use job::{Job, Options};
pub use rows::{ROWS, Row};

use anyhow::{Result, ensure};
use std::time::Instant;

/// Run rows (all, or one), `lanes` of them beside each other, and print what happened. An error if a row did not hold.
pub fn run(only: Option<&str>, scale: Scale, seed: u64, keep: bool, lanes: u64) -> Result<()> {
    let began = Instant::now();
    let rows: Vec<&Row> = ROWS.iter().filter(|r| only.is_none_or(|o| o.eq_ignore_ascii_case(r.name))).collect();
    let names: Vec<&str> = ROWS.iter().map(|r| r.name).collect();
    ensure!(!rows.is_empty(), "there is no row {}; there are {}", only.unwrap_or(""), names.join(" "));
    println!("chaos: seed {seed}, commit {}, {scale:?}", ctx::commit());
    let one = |row: &Row| {
        let count = match scale {
            Scale::Slice => row.slice,
            Scale::Full => row.full,
            Scale::Long => row.long,
        };
        let again = format!("cargo xtask chaos --only {} --seed {seed}{}", row.name, scale.flag());
        println!("{}: {} x{count}   ({again})", row.name, row.what);
        let ctx = Ctx::new(row.name, seed, scale, keep)?;
        Ok(match (row.run)(&ctx, count) {
            Ok(mut report) => {
                report.took = ctx.began.elapsed();
                let line = format!("{}: held: {report}", row.name);
                println!("{line}");
                (true, line)
            }
            Err(e) => {
                println!("{}: FAILED: {e:#}\n  again: {again}\n  kept in {}", row.name, ctx.keep().display());
                (false, format!("{}: FAILED", row.name))
            }
        })
    };
    let (first, rest): (Vec<&Row>, Vec<&Row>) = rows.into_iter().partition(|r| r.first);
    let mut held = ctx::in_lanes(1, first.clone(), one)?;
    held.extend(ctx::in_lanes(lanes as usize, rest.clone(), one)?);
    println!("\nchaos: seed {seed}, {scale:?}, {:.1} min", began.elapsed().as_secs_f64() / 60.0);
    for (_, line) in &held {
        println!("{line}");
    }
    let failed: Vec<&str> = first.iter().chain(&rest).zip(&held).filter(|(_, h)| !h.0).map(|(r, _)| r.name).collect();
    ensure!(failed.is_empty(), "rows that did not hold: {}", failed.join(" "));
    Ok(())
}
