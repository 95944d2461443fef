//! `cargo xtask micro`: what each stage costs by itself, each beside what bounds it. The programs are the examples of the
//! crates; here they are built together and get the common workload. Counted instructions hardly depend on the machine and
//! not at all on what else it does: for before and after.
use crate::project::{cache, cargo, common_input, root};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One program: what it measures, example, arguments.
struct Stage {
    about: &'static str,
    example: &'static str,
    args: &'static [&'static str],
}

const STAGES: &[Stage] = &[
    Stage {
        about: "the walk over a record; bounds: a copy of it, the check for UTF-8, the scan for quotes alone",
        example: "walk_cost",
        args: &["{INPUT}"],
    },
    Stage {
        about: "the parser, with the paths of a set of detections",
        example: "parse_cost",
        args: &["{INPUT}", "AWS.CloudTrail"],
    },
    Stage {
        about: "the parser, with every field and the indicators besides",
        example: "parse_cost",
        args: &["{INPUT}", "AWS.CloudTrail", "all"],
    },
    Stage {
        about: "twenty rules, then 1,000 more, over columns",
        example: "rule_cost",
        args: &["{INPUT}", "{LOOKUP}", "{RULES}"],
    },
    Stage {
        about: "dedup windows; bound: the standard library's hash table with the same keys",
        example: "state_cost",
        args: &["1000000"],
    },
    Stage {
        about: "reading, parsing and Parquet, the lake without an engine",
        example: "lake_cost",
        args: &["{INPUT}", "AWS.CloudTrail"],
    },
];

/// Build and run them. `instructions`: count these with valgrind instead of measuring time.
pub fn run(events: u64, instructions: bool) -> Result<()> {
    let (input, lookup) = common_input(events, 20_260_301)?;
    // The selection of `cargo xtask test`: another one would compile the dependencies anew.
    let built = cargo().args(["build", "--release", "--quiet", "--workspace", "--all-targets"]).status();
    ensure!(built.context("start cargo")?.success(), "the examples do not build");
    let examples = cache().with_file_name("release").join("examples");
    let values = [("{INPUT}", input), ("{LOOKUP}", lookup), ("{RULES}", root().join("bench/cases/common/rules"))];
    for stage in STAGES {
        let fill = |arg: &&str| values.iter().find(|v| v.0 == *arg).map_or(arg.into(), |v| v.1.clone());
        let args: Vec<PathBuf> = stage.args.iter().map(fill).collect();
        let program = examples.join(stage.example);
        println!("\n{}: {}", stage.example, stage.about);
        match instructions {
            true => println!("{} instructions", counted(&program, &args)?),
            false => {
                let status = Command::new(&program).args(&args).status();
                ensure!(status.context("start the example")?.success(), "{} failed", stage.example);
            }
        }
    }
    Ok(())
}

/// Instructions of a whole run: the same program with the same arguments gives the same number to some thousands.
fn counted(program: &Path, args: &[PathBuf]) -> Result<u64> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(args)
        .output()
        .context("start valgrind; on Debian or Ubuntu: apt-get install valgrind")?;
    let text = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{}: {text}", program.display());
    let count = text.lines().find_map(|l| l.split_once("Collected :")?.1.trim().parse().ok());
    count.with_context(|| format!("valgrind does not say how many: {text}"))
}
