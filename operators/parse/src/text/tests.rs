//! The options around the text parsers, and headers over streams.
use super::*;

fn csv(has_header: bool, columns: Option<&[&str]>, common: Common) -> TextStream {
    let columns = columns.map(|c| c.iter().map(|s| s.to_string()).collect());
    let format = Format::Csv(Csv::new(",", has_header, columns).unwrap());
    Arc::new(TextParser { format, common }).stream()
}

fn run(s: &mut TextStream, line: &str, header: Option<&str>) -> Result<Option<String>, String> {
    let mut out = FlatMap::default();
    let r = s.parse(line, header, &mut out)?;
    Ok(r.map(|_| out.to_pairs(line).iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(";")))
}

#[test]
fn names_come_from_the_header_of_the_file() {
    let mut s = csv(true, None, Common::default());
    assert_eq!(run(&mut s, "a,b", Some("a,b")), Ok(None));
    assert_eq!(run(&mut s, "1,2", Some("a,b")), Ok(Some("a=1;b=2".into())));
    assert!(run(&mut s, "1", Some("a,b")).is_err(), "count differs from the header's");
    let mut middle = csv(true, None, Common::default());
    assert_eq!(run(&mut middle, "1,2", Some("a,b")), Ok(Some("a=1;b=2".into())), "in the middle of a file");
    let mut alone = csv(true, None, Common::default());
    assert_eq!(run(&mut alone, "x,y", None), Ok(None), "no file: the first line of the stream");
    assert_eq!(run(&mut alone, "1,2", None), Ok(Some("x=1;y=2".into())));
}

#[test]
fn a_header_is_skipped_where_columns_are_named() {
    let mut s = csv(true, Some(&["p", "", "q"]), Common::default());
    assert_eq!(run(&mut s, "a,b,c", Some("a,b,c")), Ok(None));
    assert_eq!(run(&mut s, "1,2,3", Some("a,b,c")), Ok(Some("p=1;q=3".into())));
    let mut plain = csv(false, Some(&["p", "q"]), Common::default());
    assert_eq!(run(&mut plain, "1,2", Some("1,2")), Ok(Some("p=1;q=2".into())), "the first line is an event");
}

#[test]
fn values_are_trimmed_then_dropped_then_expanded() {
    let common = Common {
        empty_values: vec!["-".into()],
        trim_space: true,
        expand: vec![
            ("both".into(), Template::parse("%{a}/%{b}").unwrap()),
            ("none".into(), Template::parse("%{b}").unwrap()),
            ("dash".into(), Template::parse("-%{b}").unwrap()),
        ],
        ..Common::default()
    };
    let mut s = csv(false, Some(&["a", "b", "c"]), common);
    assert_eq!(run(&mut s, " x , - ,", None), Ok(Some("a=x;both=x/".into())));
}

#[test]
fn lines_are_skipped_at_the_start_of_a_file_only() {
    let options = || Common { skip_prefix: "#".into(), skip_lines: 2, ..Common::default() };
    let mut s = csv(false, Some(&["a"]), options());
    let got: Vec<_> = ["1", "2", "3", "#4", "5"].iter().map(|l| run(&mut s, l, Some("1")).unwrap()).collect();
    assert_eq!(got, [None, None, Some("a=3".into()), None, Some("a=5".into())]);
    let mut middle = csv(false, Some(&["a"]), options());
    assert_eq!(run(&mut middle, "7", Some("1")), Ok(Some("a=7".into())));
}
