//! `millstream top`: a running engine on one screen, from its control socket.
mod frame;

use crate::cli::{Output, TopArgs};
use crate::stats::Stats;
use crate::{check, control, exit};
use anyhow::Result;
use frame::{View, draw, plain};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// How often keys are looked at.
const KEYS: Duration = Duration::from_millis(100);

/// Show figures until `q` is pressed; one plain frame with `--once` and where nobody sees a screen.
pub fn top(args: &TopArgs) -> Result<i32> {
    let dir = check::running_dir(&args.topology)?;
    let first = match control::stats(&dir) {
        Ok(s) => s,
        Err(e) => {
            eprintln!("error: {e:#}");
            return Ok(exit::UNAVAILABLE);
        }
    };
    match args.output {
        Output::Json => documents(&dir, args.once, first),
        _ if args.once || !std::io::stdout().is_terminal() => {
            let mut view = View::new(first);
            std::thread::sleep(EVERY);
            // Rates need two looks; an engine that ends meanwhile leaves the first.
            if let Ok(second) = control::stats(&dir) {
                view.next(second, EVERY.as_secs_f64());
            }
            println!("{}", plain(&view));
            Ok(0)
        }
        _ => screen(&dir, View::new(first)),
    }
}

/// A document a second, until the reader or the engine has gone.
fn documents(dir: &Path, once: bool, mut stats: Stats) -> Result<i32> {
    let mut out = std::io::stdout().lock();
    loop {
        match writeln!(out, "{}", serde_json::to_string(&stats)?).and_then(|()| out.flush()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(0),
            r => r?,
        }
        if once {
            return Ok(0);
        }
        std::thread::sleep(EVERY);
        stats = match control::stats(dir) {
            Ok(s) => s,
            Err(e) => {
                eprintln!("error: {e:#}");
                return Ok(exit::UNAVAILABLE);
            }
        };
    }
}

fn screen(dir: &Path, view: View) -> Result<i32> {
    let mut terminal = ratatui::try_init()?;
    let shown = watch(dir, view, &mut terminal);
    ratatui::restore();
    shown.map(|()| 0)
}

fn watch(dir: &Path, mut view: View, terminal: &mut ratatui::DefaultTerminal) -> Result<()> {
    let mut looked = Instant::now();
    loop {
        terminal.draw(|f| draw(&view, f))?;
        while looked.elapsed() < EVERY {
            if event::poll(KEYS)? && is_end(&event::read()?) {
                return Ok(());
            }
        }
        let since = looked.elapsed().as_secs_f64();
        looked = Instant::now();
        match control::stats(dir) {
            Ok(stats) => view.next(stats, since),
            // It may be on its way back: the supervisor starts it again.
            Err(e) => view.gone = Some(format!("{e:#}")),
        }
    }
}

fn is_end(event: &Event) -> bool {
    let Event::Key(KeyEvent { code, modifiers, .. }) = event else { return false };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}
