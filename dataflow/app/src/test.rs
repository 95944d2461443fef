//! `millstream test`: the `Tests:` of detections, offline.
use crate::cli::{Output, TestArgs};
use crate::exit;
use anyhow::Result;
use detect::testing::{Options, run};
use local::DiskFiles;
use std::io::IsTerminal;
use std::time::{SystemTime, UNIX_EPOCH};

/// Run the tests of every detection under the given paths.
pub fn test(args: &TestArgs) -> Result<i32> {
    let root = std::env::current_dir()?;
    let files = DiskFiles::new(&root);
    let paths: Vec<String> = args.paths.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let options = Options { filter: args.filter.clone(), minimum_tests: args.minimum_tests, now_ms };
    let report = run(&files, &paths, &options);
    match args.output {
        Output::Json => println!("{}", report.to_json()),
        Output::Junit => println!("{}", report.to_junit()),
        Output::Human => {
            let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            print!("{}", report.to_text(color, false))
        }
    }
    Ok(if report.passed() { 0 } else { exit::FINDINGS })
}
