//! `millstream test`: the `Tests:` of detections, offline.
use crate::bundle::{Bundle, Recorder};
use crate::cli::{Output, TestArgs};
use crate::exit;
use anyhow::Result;
use detect::python::cpython::Interpreter;
use detect::testing::{Options, run};
use local::DiskFiles;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often files are looked at while they are watched.
const WATCH: Duration = Duration::from_millis(300);

/// Run the tests of every detection under the given paths.
pub fn test(args: &TestArgs) -> Result<i32> {
    let files = DiskFiles::new(std::env::current_dir()?);
    loop {
        let (code, read) = once(args, &files)?;
        if !args.watch {
            return Ok(code);
        }
        while !read.changed(&files) {
            std::thread::sleep(WATCH);
        }
        println!();
    }
}

/// Run them once; the code to end with, and the files that were read.
fn once(args: &TestArgs, disk: &DiskFiles) -> Result<(i32, Bundle)> {
    let files = Recorder::new("", disk);
    let paths: Vec<String> = args.paths.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let cpython = args.cpython.clone().map(|program| Interpreter {
        program,
        venv: args.cpython_venv.clone(),
        ..Interpreter::default()
    });
    let options = Options {
        filter: args.filter.clone(),
        minimum_tests: args.minimum_tests,
        now_ms,
        cpython,
        verify: args.verify,
    };
    let mut report = run(&files, &paths, &options);
    correlate::testing::run(&files, &paths, &options, &mut report);
    match args.output {
        Output::Json => println!("{}", report.to_json()),
        Output::Junit => println!("{}", report.to_junit()),
        Output::Human => {
            let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            print!("{}", report.to_text(color, args.show_failures_only))
        }
    }
    let differs = report.verified.as_ref().is_some_and(|v| v.differs());
    let code = match report.passed() {
        _ if differs => exit::DIFFERENT,
        true => 0,
        false => exit::FINDINGS,
    };
    Ok((code, files.finish().0))
}
