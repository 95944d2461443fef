//! The result of a test run, and its three forms: text for people, JSON, JUnit XML.
use crate::python::verify::Verified;
use model::Problem;
use serde_json::{Value as J, json};
use std::fmt::Write;

/// Result of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Rules that were chosen, in file order.
    pub rules: Vec<RuleReport>,
    /// Findings in rule files; warnings do not fail the run.
    pub problems: Vec<Problem>,
    /// How compiled rules and CPython compare, if that was asked for.
    pub verified: Option<Verified>,
}

/// Tests of one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleReport {
    /// `RuleID`.
    pub id: String,
    /// File.
    pub file: String,
    /// Its tests, in file order.
    pub tests: Vec<TestReport>,
    /// What is missing to the demanded minimum of tests.
    pub shortage: Option<String>,
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct TestReport {
    /// `Name`.
    pub name: String,
    /// Verdict of the test.
    pub verdict: Verdict,
    /// Verdict of the rule.
    pub matched: bool,
    /// Fields that are not as expected.
    pub differences: Vec<Difference>,
    /// Errors of the rule or its functions.
    pub errors: Vec<String>,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Passed,
    /// Not as expected.
    Failed,
    /// The rule came upon something of Python that is not built: it could be either.
    Unknown,
}

/// A field that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Name as in the test; inside a context with the path to the value.
    pub field: String,
    /// JSON text; `nothing` if the field should not be there.
    pub expected: String,
    /// JSON text; `nothing` if the field is not there.
    pub got: String,
}

impl Difference {
    /// From values; `None` = not there.
    pub fn new(field: String, expected: Option<&J>, got: Option<&J>) -> Difference {
        let text = |v: Option<&J>| v.map_or("nothing".into(), J::to_string);
        Difference { field, expected: text(expected), got: text(got) }
    }
}

impl RuleReport {
    /// True if every test passed and there are enough of them.
    pub fn passed(&self) -> bool {
        self.shortage.is_none() && self.tests.iter().all(|t| t.verdict == Verdict::Passed)
    }
}

impl Report {
    /// True if nothing failed: no finding but warnings, no test, no shortage of tests.
    pub fn passed(&self) -> bool {
        self.problems.iter().all(|p| p.warning) && self.rules.iter().all(RuleReport::passed)
    }

    /// Number of tests that passed and that failed; the others are unknown.
    pub fn counts(&self) -> (usize, usize) {
        (self.count(Verdict::Passed), self.count(Verdict::Failed))
    }

    /// Number of tests that ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rules.iter().flat_map(|r| &r.tests).filter(|t| t.verdict == verdict).count()
    }

    /// For a terminal. With `failures_only`, rules without failure are left out.
    pub fn to_text(&self, colour: bool, failures_only: bool) -> String {
        let paint = Paint { colour };
        let mut out = String::new();
        for p in &self.problems {
            let word = if p.warning { paint.yellow("WARN") } else { paint.red("FAIL") };
            line(&mut out, format_args!("{word}  {}", problem(p)));
        }
        for rule in self.rules.iter().filter(|r| !failures_only || !r.passed()) {
            line(&mut out, format_args!("{}  {}", paint.bold(&rule.id), rule.file));
            if let Some(shortage) = &rule.shortage {
                line(&mut out, format_args!("  {}  {shortage}", paint.red("FAIL")));
            }
            rule.tests
                .iter()
                .filter(|t| !failures_only || t.verdict != Verdict::Passed)
                .for_each(|t| t.write(&mut out, paint));
        }
        let (passed, failed) = self.counts();
        let bad = self.problems.iter().filter(|p| !p.warning).count()
            + self.rules.iter().filter(|r| r.shortage.is_some()).count();
        let verdict = if self.passed() { paint.green("PASS") } else { paint.red("FAIL") };
        let unknown = match self.count(Verdict::Unknown) {
            0 => String::new(),
            n => format!(" {n} unknown,"),
        };
        line(
            &mut out,
            format_args!(
                "{verdict}  {} rules: {passed} tests passed, {failed} failed,{unknown} {bad} other findings",
                self.rules.len()
            ),
        );
        self.verified.iter().for_each(|v| out += &v.text());
        out
    }

    /// As JSON.
    pub fn to_json(&self) -> J {
        let difference = |d: &Difference| json!({ "field": d.field, "expected": d.expected, "got": d.got });
        let test = |t: &TestReport| {
            json!({
                "name": t.name, "passed": t.verdict == Verdict::Passed, "unknown": t.verdict == Verdict::Unknown, "matched": t.matched, "errors": t.errors,
                "differences": t.differences.iter().map(difference).collect::<Vec<_>>(),
            })
        };
        let rule = |r: &RuleReport| {
            let tests: Vec<J> = r.tests.iter().map(test).collect();
            json!({ "id": r.id, "file": r.file, "passed": r.passed(), "shortage": r.shortage, "tests": tests })
        };
        let finding = |p: &Problem| {
            let (file, line, column) = p.file.clone().unwrap_or_default();
            json!({
                "file": file, "line": line, "column": column, "warning": p.warning, "message": p.message,
                "hint": p.hint,
            })
        };
        let (passed, failed) = self.counts();
        let mut out = json!({
            "passed": self.passed(),
            "tests": { "passed": passed, "failed": failed, "unknown": self.count(Verdict::Unknown) },
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "problems": self.problems.iter().map(finding).collect::<Vec<_>>(),
        });
        if let Some(verified) = &self.verified {
            out["verified"] = json!(verified);
        }
        out
    }

    /// As JUnit XML: a suite per rule, findings of files as a suite of their own.
    pub fn to_junit(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"millstream\">\n");
        let problems: Vec<_> = self.problems.iter().filter(|p| !p.warning).collect();
        if !problems.is_empty() {
            let cases = problems.iter().map(|p| {
                let file = p.file.as_ref().map_or("", |(f, _, _)| f);
                (file.to_string(), Some(problem(p)))
            });
            suite(&mut out, "rule files", "", cases.collect());
        }
        for r in &self.rules {
            let shortage = r.shortage.iter().map(|s| ("number of tests".to_string(), Some(s.clone())));
            let tests = r
                .tests
                .iter()
                .map(|t| (t.name.clone(), (t.verdict != Verdict::Passed).then(|| t.reasons().join("\n"))));
            suite(&mut out, &r.id, &r.file, shortage.chain(tests).collect());
        }
        out + "</testsuites>\n"
    }
}

impl TestReport {
    fn write(&self, out: &mut String, paint: Paint) {
        let word = match self.verdict {
            Verdict::Passed => paint.green("PASS"),
            Verdict::Failed => paint.red("FAIL"),
            Verdict::Unknown => paint.yellow("UNKNOWN"),
        };
        line(out, format_args!("  {word}  {}", self.name));
        for d in &self.differences {
            line(out, format_args!("        {}", d.field));
            line(out, format_args!("          {}", paint.green(&format!("expected {}", d.expected))));
            line(out, format_args!("          {}", paint.red(&format!("got      {}", d.got))));
        }
        self.errors.iter().for_each(|e| line(out, format_args!("        {}", paint.red(e))));
    }

    fn reasons(&self) -> Vec<String> {
        let differences =
            self.differences.iter().map(|d| format!("{}: expected {}, got {}", d.field, d.expected, d.got));
        differences.chain(self.errors.iter().cloned()).collect()
    }
}

fn problem(p: &Problem) -> String {
    let place = p.file.as_ref().map_or(p.setting.clone(), |(f, l, c)| format!("{f}:{l}:{c}"));
    let hint = p.hint.as_ref().map_or(String::new(), |h| format!(" ({h})"));
    format!("{place}: {}{hint}", p.message)
}

fn line(out: &mut String, text: std::fmt::Arguments) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

/// A suite with its cases: name, and reason of the failure.
fn suite(out: &mut String, name: &str, file: &str, cases: Vec<(String, Option<String>)>) {
    let failed = cases.iter().filter(|(_, f)| f.is_some()).count();
    let (id, file) = (xml(name), xml(file));
    line(
        out,
        format_args!("  <testsuite name=\"{id}\" tests=\"{}\" failures=\"{failed}\" file=\"{file}\">", cases.len()),
    );
    for (case, failure) in cases {
        let case = xml(&case);
        match failure {
            None => line(out, format_args!("    <testcase classname=\"{id}\" name=\"{case}\"/>")),
            Some(why) => line(
                out,
                format_args!(
                    "    <testcase classname=\"{id}\" name=\"{case}\"><failure message=\"{}\"/></testcase>",
                    xml(&why)
                ),
            ),
        }
    }
    line(out, format_args!("  </testsuite>"));
}

/// Text as XML attribute value; characters that XML cannot hold become U+FFFD.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if (c as u32) < 0x20 => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.into() }
    }
    fn red(self, text: &str) -> String {
        self.with("31", text)
    }
    fn green(self, text: &str) -> String {
        self.with("32", text)
    }
    fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }
    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
}
