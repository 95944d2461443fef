//! Whatever a file holds: no panic, and either a topology or an error.
use super::*;
use proptest::prelude::*;

fn judged(text: &[u8]) {
    let files = model::files::MemFiles(
        [
            ("t.toml".to_string(), std::sync::Arc::from(text)),
            ("rules/a.yml".to_string(), std::sync::Arc::from(&b"x"[..])),
        ]
        .into(),
    );
    let secret = |n: &str| if n == "env.TOKEN" { Ok("hunter2".into()) } else { Err("gone".into()) };
    let l = crate::load("t.toml", &files, &|n| (n == "INPUT").then(|| "in".into()), &secret, &parts());
    assert_eq!(l.topology.is_some(), l.errors().next().is_none(), "{}", l.render(false));
    assert!(l.diagnostics.len() <= crate::DIAGNOSTICS_MAX + 1);
    for d in &l.diagnostics {
        assert!(!d.render(true).is_empty());
        assert!(d.line == 0 || d.col as usize <= d.source_line.chars().count() + 1, "{d:?}");
    }
    if let Some(t) = &l.topology {
        assert!(graph::svg(t).ends_with("</svg>\n") && diff(t, t).is_empty());
        for (i, n) in t.nodes.iter().enumerate() {
            assert!(n.inputs.iter().all(|(f, p)| *f < i && *p < t.nodes[*f].spec.outputs.len()));
        }
    }
}

/// A piece that means something in a topology.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "\"",
        "'",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "\n",
        "\r\n",
        "#",
        "${",
        "}",
        "SECRET[",
        "1",
        "-1",
        "1e400",
        "true",
        "nan",
        "inputs",
        "type",
        "sources",
        "sinks.",
        "engine",
        "schema",
        "\"events\"",
        "\"rules\"",
        "\"only\"",
        "ž",
        "\u{0}",
        "1979-05-27",
        "\\u0000",
        "\"\"\"",
        "include",
        "\"*\"",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_string)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_at_random(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        judged(&bytes);
    }

    #[test]
    fn pieces_at_random(pieces in prop::collection::vec(piece(), 0..60)) {
        judged(pieces.join("").as_bytes());
    }

    #[test]
    fn a_valid_file_with_edits(edits in prop::collection::vec((0usize..2000, 0usize..12, piece()), 1..4)) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, cut, put) in edits {
            let at = at % text.len();
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        judged(text.into_iter().collect::<String>().as_bytes());
    }

    #[test]
    fn a_valid_file_with_other_words(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..5)) {
        let mut lines: Vec<String> = WHOLE.lines().map(str::to_string).collect();
        for (a, b) in edits {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
        }
        judged(lines.join("\n").as_bytes());
    }
}
