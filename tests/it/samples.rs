//! Real logs, where they are present: nothing fails to parse that the line itself does not explain, and the fields
//! agree with an independent parse in another language.
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::project::{millstream, root, samples};

/// Log type, sample folder or file, stream, and what may be refused: a word of the line or of the reason, and how
/// many lines it explains at most.
type Case = (&'static str, &'static [&'static str], &'static [(&'static str, usize)]);

const CASES: &[Case] = &[
    ("AWS.CloudTrail", &["cloudtrail/invictus_ir_aws_dataset"], &[]),
    // Exports that renamed `eventTime`, and another API's output form.
    (
        "AWS.CloudTrail",
        &["cloudtrail/otrf", "cloudtrail/plaso"],
        &[("eventTime", 103), ("CloudTrailEvent", 6), ("cloud_trail_event", 6)],
    ),
    ("AWS.VPCFlow", &["vpcflow"], &[]),
    // Classic and network load balancers are other formats.
    ("AWS.ALB", &["alb"], &[("", 6)]),
    ("AWS.S3ServerAccess", &["s3access"], &[]),
    ("Nginx.Access", &["nginx"], &[]),
    // Common format without agent, and lines cut off by the logger.
    ("Apache.AccessCombined", &["apache"], &[("", 6)]),
    ("Suricata.Alert", &["suricata"], &[]),
    // Entries of other logs of the same export.
    ("GCP.AuditLog", &["gcp_audit"], &[("payloadType", 2)]),
    // A record that auditd lost the stamp of.
    (
        "Linux.Auditd",
        &["auditd/golibaudit_auparse_testdata_audit-rhel7.log", "auditd/plaso_audit_enriched.log"],
        &[("UNKNOWN[1329]", 1)],
    ),
];

/// The day that counts as today: the years of times without one must not depend on when the tests run.
const TODAY: &str = "2026-11-24";

fn parse(log_type: &str, files: &[PathBuf], out: &Path) -> (usize, Vec<serde_json::Value>) {
    let mut c = Command::new(millstream());
    c.args(["parse", "--now", TODAY, "--log-type", log_type]).args(files);
    let done = c.stdout(std::fs::File::create(out).unwrap()).output().unwrap();
    let err = String::from_utf8_lossy(&done.stderr).into_owned();
    let rejected = err.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let n = std::fs::read(out).unwrap().iter().filter(|b| **b == b'\n').count();
    assert!(err.lines().last().is_some_and(|l| l.contains(" events, ")), "{log_type}: {err}");
    (n, rejected)
}

#[test]
fn real_logs_parse_or_explain_themselves() {
    let Some(dir) = samples() else {
        eprintln!("no samples: set MILLSTREAM_SAMPLES to a folder with real logs");
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    for (log_type, paths, explained) in CASES {
        let files: Vec<PathBuf> = paths.iter().map(|p| dir.join(p)).collect();
        let (events, rejected) = parse(log_type, &files, &temp.path().join("out.jsonl"));
        let mut left: Vec<(&str, usize)> = explained.to_vec();
        for r in &rejected {
            let text = format!("{} {}", r["reason"], r["raw"]);
            let hit = left.iter_mut().find(|(word, n)| *n > 0 && text.contains(word));
            match hit {
                Some((_, n)) => *n -= 1,
                None => panic!("{log_type}: not explained: {r}"),
            }
        }
        assert!(events + rejected.len() > 0, "{log_type}: nothing was read from {files:?}");
        println!("{log_type}: {events} events, {} refused and explained", rejected.len());
    }
}

/// Script, its arguments, log type, samples, arguments of the comparison.
const COMPARED: &[(&str, &[&str], &str, &str, &[&str])] = &[
    ("cloudtrail.py", &[], "AWS.CloudTrail", "cloudtrail/invictus_ir_aws_dataset", &["--key", "eventID"]),
    ("alb.py", &[], "AWS.ALB", "alb", &[]),
    ("apache.py", &[], "Apache.AccessCombined", "apache", &[]),
    ("syslog.py", &["--now", TODAY, "--rfc", "3164"], "Syslog.RFC3164", "syslog", &[]),
    ("syslog.py", &["--now", TODAY, "--rfc", "5424"], "Syslog.RFC5424", "syslog", &[]),
    ("zeek_dns.py", &[], "Zeek.DNS", "zeek", &[]),
];

#[test]
fn fields_agree_with_an_independent_parse() {
    let Some(dir) = samples() else {
        eprintln!("no samples: set MILLSTREAM_SAMPLES to a folder with real logs");
        return;
    };
    let temp = tempfile::tempdir().unwrap();
    for (script, args, log_type, path, compare) in COMPARED {
        let files = expand(&dir.join(path), temp.path());
        let ours = temp.path().join("ours.jsonl");
        parse(log_type, &files, &ours);
        let theirs = temp.path().join("theirs.jsonl");
        let mut c = Command::new("python3");
        c.arg(root().join("tests/compare").join(script)).args(*args).args(&files);
        let done = c.stdout(std::fs::File::create(&theirs).unwrap()).output().unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
        let mut c = Command::new("python3");
        let report =
            c.arg(root().join("tests/compare/compare.py")).args([&ours, &theirs]).args(*compare).output().unwrap();
        let text = String::from_utf8_lossy(&report.stdout).into_owned();
        assert!(report.status.success(), "{log_type}: {text}{}", String::from_utf8_lossy(&report.stderr));
        println!("{log_type}: {}", text.lines().last().unwrap_or_default());
    }
}

/// The files of a folder in order, compressed ones unpacked (the independent parsers read plain lines), and of Zeek's
/// mixed stream only the DNS lines. All are copied to names that sort as they were found: the product reads files in
/// order of their paths, and where the samples lie beside the copies must not decide it.
fn expand(path: &Path, temp: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(path, &mut files);
    files.sort();
    let zeek = path.ends_with("zeek");
    let plain = files.into_iter().enumerate().map(|(i, f)| {
        let packed = f.extension().is_some_and(|e| e == "gz");
        let cat = if packed { "zcat" } else { "cat" };
        let mut bytes = Command::new(cat).arg(&f).output().unwrap().stdout;
        if zeek {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let dns = |l: &&str| l.contains("\"@stream\":\"dns\"") || l.contains("\"@stream\": \"dns\"");
            bytes = text.lines().filter(dns).map(|l| format!("{l}\n")).collect::<String>().into_bytes();
        }
        let out = temp.join(format!("plain-{i:05}.log"));
        std::fs::write(&out, bytes).unwrap();
        out
    });
    plain.collect()
}

fn walk(path: &Path, out: &mut Vec<PathBuf>) {
    if path.is_file() {
        return out.push(path.into());
    }
    for e in std::fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())) {
        walk(&e.unwrap().path(), out);
    }
}
