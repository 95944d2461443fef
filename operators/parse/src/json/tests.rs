//! The walker against `serde_json`, which is the judge of what JSON is.
use super::vectors::Vectors;
use super::*;
use model::Path;
use model::event::tag;
use model::path::Seg;
use model::raw::PAD;
use proptest::prelude::*;
use serde_json::Value;

const PATHS: &[&str] = &[
    "eventName",
    "readOnly",
    "userIdentity",
    "userIdentity.arn",
    "userIdentity.sessionContext.attributes.mfaAuthenticated",
    "userIdentity.sessionContext",
    "requestParameters.policy",
    "requestParameters.count",
    "requestParameters.tags[1]",
    "requestParameters.tags[0].key",
    "requestParameters.tags",
    "resources[0].ARN",
    "resources[1].type",
    "resources[1].list[2][0]",
    "ünïcode.\"a.b\"",
    "responseElements",
    "additional.deep.x",
    "longKeyOfMoreThanSixteenBytes",
    "esc\\aped",
    "a",
    "a.b",
];

const SEEDS: &[&str] = &[
    r#"{"eventVersion":"1.09","userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/x/y","sessionContext":{"sessionIssuer":{"type":"Role"},"attributes":{"creationDate":"2026-03-01T11:32:15Z","mfaAuthenticated":"false"}}},"eventName":"GetObject","readOnly":true,"requestParameters":{"bucketName":"b","count":-12.5e3,"tags":[{"key":"k","value":[1,2,{}]},null,"t"],"policy":"{\"Version\":\"2012\",\"s\":[\"\\u00e9\\ud83d\\ude00\"]}"},"responseElements":null,"resources":[{"ARN":"arn:aws:s3:::x","type":"T"},{"type":"AWS::S3::Bucket","list":[0,false,["deep"]]}],"n":[]}"#,
    r#" { "eventName" : "Put\nObject\u0041" , "ünïcode" : { "a.b" : [ 1 , 2.0 , -0 ] } , "skipped" : [ [ ] , { } , [ { "x" : [ true , false , null ] } ] ] , "a":{"b":1,"c":[[["}"]]]},"resources":[] , "requestParameters": {"tags":["x",{"y":"]"} , 3 ]} }  "#,
    r#"{"\u0065ventName":"escaped key","esc\\aped":"k","a":{"\u0062":"\\","b":2},"a":{"c":3},"additional":{"deep":{"x":1e5},"deep":null},"longKeyOfMoreThanSixteenBytes":"v","longKeyOfMoreThanSixteenBytez":0,"userIdentity":"text"}"#,
    "{\"a\":{},\t\"readOnly\":false,\r\n\"userIdentity\":{\"arn\":\"\",\"sessionContext\":{}},\"x\":\"a long text that goes over the border of a block of sixty-four bytes, \\\\\\\\ and over another one \\\" too, with a tail of some length behind it\"}",
    "{}",
];

fn wants(paths: &[&str]) -> Vec<Want> {
    let want = |(slot, p): (usize, &&str)| {
        let path = if p.contains('\\') { Path::key(p) } else { Path::parse(p).unwrap() };
        Want { path, slot: slot as u32, allowed: 0, required: Some(slot as u8) }
    };
    paths.iter().enumerate().map(want).collect()
}

/// A walker with everything it writes to.
struct Bench {
    walker: Walker,
    trie: Trie,
    paths: Vec<Path>,
    cols: Columns,
    /// The record amid other bytes, then the side values.
    data: Vec<u8>,
    start: usize,
}

const ROWS: usize = 3;
const ROW: usize = 1;

impl Bench {
    fn new(walker: Walker, wants: &[Want]) -> Bench {
        let (trie, cols) = (Trie::compile(wants), Columns::new(wants.len(), ROWS));
        Bench { walker, trie, paths: wants.iter().map(|w| w.path.clone()).collect(), cols, data: vec![], start: 5 }
    }
    fn walk(&mut self, record: &[u8]) -> Result<Walked, JsonError> {
        self.cols.clear_for(ROWS);
        // Bytes around the record that would complete it if they were read.
        self.data = b"{\"a\":".to_vec();
        self.start = self.data.len();
        self.data.extend_from_slice(record);
        let used = self.data.len() + 3;
        self.data.extend_from_slice(br#"}]""#);
        self.data.extend_from_slice(&[b'}'; PAD]);
        let mut side = vec![];
        let (trie, cols) = (&self.trie, &mut self.cols);
        let done = self.walker.walk(trie, &self.data, self.start, record.len(), ROW, cols, &mut side, used);
        self.data.truncate(used);
        self.data.extend(side);
        let touched = |row: usize| (0..self.paths.len()).any(|s| self.cols.tag[s * ROWS + row] != tag::ABSENT);
        assert!(!touched(0) && !touched(2), "other rows");
        assert!(done.is_ok() || !touched(ROW) && self.data.len() == used, "a failed record leaves nothing");
        done
    }
    fn tag(&self, slot: usize) -> u8 {
        self.cols.tag[slot * ROWS + ROW]
    }
    fn text(&self, slot: usize) -> &str {
        let pos = self.cols.pos[slot * ROWS + ROW];
        std::str::from_utf8(&self.data[pos as u32 as usize..][..(pos >> 32) as usize]).unwrap()
    }
    fn value(&self, slot: usize) -> Option<Value> {
        Some(match self.tag(slot) {
            tag::ABSENT => return None,
            tag::NULL => Value::Null,
            tag::TRUE => true.into(),
            tag::FALSE => false.into(),
            tag::STR => self.text(slot).into(),
            kind => {
                let value: Value = serde_json::from_str(self.text(slot)).unwrap();
                assert!(match kind {
                    tag::NUM => value.is_number(),
                    tag::OBJ => value.is_object(),
                    _ => kind == tag::ARR && value.is_array(),
                });
                value
            }
        })
    }
    /// Every wanted value is what the parsed record has at that path.
    fn agrees(&self, record: &Value, walked: Walked) {
        for (slot, path) in self.paths.iter().enumerate() {
            let expected = path.0.iter().try_fold(record, |v, seg| match seg {
                Seg::Key(k) => v.as_object()?.get(&**k),
                Seg::Index(n) => v.as_array()?.get(*n as usize),
                Seg::Each => None,
            });
            assert_eq!(self.value(slot).as_ref(), expected, "{path} of {record}");
            assert_eq!(walked.seen >> slot & 1 == 1, expected.is_some_and(|v| !v.is_null()), "{path} of {record}");
        }
    }
}

/// One for each kind of instructions that this machine has.
fn benches(strict: bool, wants: &[Want]) -> Vec<Bench> {
    Vectors::of_this_cpu().into_iter().map(|v| Bench::new(Walker::with(v, strict), wants)).collect()
}

/// What `serde_json` says; `None` if it stops at a number out of range, behind which it has not looked.
fn judge(record: &str) -> Option<Option<Value>> {
    match serde_json::from_str::<Value>(record) {
        Ok(value) => Some(value.is_object().then_some(value)),
        Err(e) if e.to_string().contains("number out of range") => None,
        Err(_) => Some(None),
    }
}

/// All walkers, both modes, against the judge.
fn check(strict: &mut [Bench], structural: &mut [Bench], record: &str) {
    let Some(judged) = judge(record) else { return };
    for bench in strict {
        match (bench.walk(record.as_bytes()), &judged) {
            (Ok(walked), Some(value)) => bench.agrees(value, walked),
            (Err(_), None) => {}
            (walked, _) => panic!("{walked:?}, but serde_json: {:?}\n{record}", serde_json::from_str::<Value>(record)),
        }
    }
    let walk = |bench: &mut Bench| {
        let walked = bench.walk(record.as_bytes());
        if let (Ok(walked), Some(value)) = (walked, &judged) {
            bench.agrees(value, walked);
        }
        assert!(walked.is_ok() || judged.is_none(), "{walked:?}: {record}");
        walked
    };
    let outcomes: Vec<_> = structural.iter_mut().map(walk).collect();
    assert!(outcomes.iter().all(|o| *o == outcomes[0]), "{outcomes:?}");
}

/// A small generator: reproducible, and far cheaper than the walker.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

#[test]
fn mutated_records_fare_as_with_serde_json() {
    const TOKENS: &[&str] = &[
        "\"", "\\", "{", "}", "[", "]", ":", ",", " ", "\n", "\t", "\u{1}", "\u{7f}", "0", "-", "1.", "e5", "1e400",
        "true", "null", "nul", "\\u", "\\ud83d", "\\ude00", "\\n", "\\x", "\"a\":", "\"a\":1,", "{}", "[]", "\"\"",
        "é", "/", "01", "-0", "\0", "\u{feff}",
    ];
    let wants = wants(PATHS);
    let (mut strict, mut structural) = (benches(true, &wants), benches(false, &wants));
    let mut dice = Dice(0x1234_5678_9ABC_DEF1);
    let (mut taken, mut refused, mut torn) = (0, 0, 0);
    for case in 0..30_000 {
        let mut bytes = SEEDS[case % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..dice.below(3) {
            let (a, b) = (dice.below(bytes.len() + 1), dice.below(bytes.len() + 1));
            let token = TOKENS[dice.below(TOKENS.len())].bytes();
            match dice.below(6) {
                0 => drop(bytes.splice(a..a, token)),
                1 => drop(bytes.splice(a..(a + 1).min(bytes.len()), token)),
                2 => drop(bytes.drain(a..(a + 1 + dice.below(4)).min(bytes.len()))),
                3 => bytes.truncate(a.max(1)),
                4 => {
                    let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 40));
                    let copy = bytes[from..to].to_vec();
                    drop(bytes.splice(to..to, copy));
                }
                _ => bytes.resize(bytes.len() + dice.below(3), b' '),
            }
        }
        if let Err(e) = std::str::from_utf8(&bytes) {
            let at = e.valid_up_to();
            for bench in strict.iter_mut().chain(&mut structural) {
                assert_eq!(bench.walk(&bytes), Err(JsonError::NotUtf8 { at }));
            }
            torn += 1;
        }
        if let Ok(record) = std::str::from_utf8(&bytes) {
            check(&mut strict, &mut structural, record);
            *(if judge(record).is_some_and(|j| j.is_some()) { &mut taken } else { &mut refused }) += 1;
        }
    }
    assert!(taken > 8_000 && refused > 8_000 && torn > 50, "{taken} taken, {refused} refused, {torn} not UTF-8");
}

/// An object of a few of many keys, in one of several orders: what walks learn from one is wrong for the next.
fn shuffled(dice: &mut Dice, depth: usize) -> String {
    const KEYS: &[&str] = &[
        "a",
        "b",
        "eventName",
        "readOnly",
        "tags",
        "key",
        "x",
        "",
        "ünïcode",
        "\\u0061",
        "esc\\\\aped",
        "userIdentity",
        "arn",
        "resources",
        "ARN",
        "type",
        "exactly-thirty-bytes-in-length",
        "exactly-thirty-one-bytes-of-key",
        "exactly-thirty-three-bytes-of-key",
        "longKeyOfMoreThanSixteenBytes",
        "sessionContext",
    ];
    let (start, step) = (dice.below(KEYS.len()), 1 + dice.below(3));
    let mut out = String::from("{");
    for n in 0..dice.below(7) {
        let key = match dice.below(40) {
            0 => format!("key {}", dice.below(100_000)),
            // Sometimes one is missing, or twice there.
            1 => KEYS[dice.below(KEYS.len())].to_string(),
            _ => KEYS[(start + n * step) % KEYS.len()].to_string(),
        };
        let comma = ["", ",", ",", " , "][if n == 0 { 0 } else { 1 + dice.below(3) }];
        let colon = [":", ":", ":", ":", " : ", ": "][dice.below(6)];
        let value = match dice.below(if depth < 4 { 10 } else { 6 }) {
            0 => "null".to_string(),
            1 => "\"\"".to_string(),
            2 => dice.below(1000).to_string(),
            3 | 4 => format!("\"text, \\\" and : {}\"", "more ".repeat(dice.below(30))),
            5 => "\"plain\"".to_string(),
            6 | 7 => shuffled(dice, depth + 1),
            _ => format!("[{},{},1]", shuffled(dice, depth + 1), shuffled(dice, depth + 1)),
        };
        out += &format!("{comma}\"{key}\"{colon}{value}");
    }
    out + "}"
}

#[test]
fn what_was_learned_changes_nothing() {
    let (many, few) = (wants(PATHS), wants(&["b", "x.a", "a.key", "tags[1].b", "tags[0].a", "resources[0].type.x"]));
    let [mut strict, mut structural, mut strict_few, mut structural_few] =
        [(true, &many), (false, &many), (true, &few), (false, &few)].map(|(strict, wants)| benches(strict, wants));
    let mut dice = Dice(0x5EED_0F_0DE5_5EED);
    for _ in 0..20_000 {
        let record = shuffled(&mut dice, 0);
        check(&mut strict, &mut structural, &record);
        // The same walkers go on with other wants.
        for (a, b) in [(&mut strict, &mut strict_few), (&mut structural, &mut structural_few)] {
            a.iter_mut().zip(b).for_each(|(a, b)| std::mem::swap(&mut a.walker, &mut b.walker));
        }
        check(&mut strict_few, &mut structural_few, &record);
    }
}

#[test]
fn every_prefix_is_refused() {
    let wants = wants(PATHS);
    let (mut strict, mut structural) = (benches(true, &wants), benches(false, &wants));
    for seed in SEEDS {
        check(&mut strict, &mut structural, seed);
        for cut in (0..seed.trim_end().len()).filter(|n| seed.is_char_boundary(*n)) {
            check(&mut strict, &mut structural, &seed[..cut]);
            for bench in structural.iter_mut() {
                assert!(bench.walk(&seed.as_bytes()[..cut]).is_err(), "{}", &seed[..cut]);
            }
        }
    }
}

#[test]
fn a_record_ends_where_it_is_said_to_end() {
    let wants = wants(PATHS);
    for mut bench in benches(true, &wants).into_iter().chain(benches(false, &wants)) {
        for seed in SEEDS {
            bench.walk(seed.as_bytes()).unwrap();
            for len in (0..seed.trim_end().len()).filter(|len| seed.is_char_boundary(*len)) {
                // What would go on as it was learned follows, or what could be taken for more of any kind.
                for tail in [&seed[len..], "[", "{", "}", "]", "\"", ",", ":", "1", ",\"", "\":", "{\"", "[{"] {
                    let mut data = seed.as_bytes()[..len].to_vec();
                    data.extend_from_slice(tail.repeat(1 + PAD / tail.len()).as_bytes());
                    let (mut side, mut cols) = (vec![], Columns::new(wants.len(), 1));
                    let walked = bench.walker.walk(&bench.trie, &data, 0, len, 0, &mut cols, &mut side, data.len());
                    assert!(walked.is_err(), "{} before {tail}", &seed[..len]);
                }
            }
        }
    }
}

#[test]
fn strings_and_backslashes_straddle_blocks() {
    let wants = wants(PATHS);
    let (mut strict, mut structural) = (benches(true, &wants), benches(false, &wants));
    for fill in 0..140 {
        for text in ["", "\\\\", "\\\"", "\\\\\\\"}", "\\ud83d\\ude00", "[{", "\\u00", "\u{2}", "é"] {
            let pad = "x".repeat(fill);
            for record in [
                format!("{{\"{pad}\":[\"{text}\",{{}}],\"eventName\":\"{text}\"}}"),
                format!("{{\"eventName\":\"{pad}{text}\",\"a\":1}}"),
                format!("{{{:fill$}\"a\":{{\"b\":\"{text}\"{:fill$}}}}}", "", ""),
            ] {
                check(&mut strict, &mut structural, &record);
            }
        }
    }
}

#[test]
fn nesting_is_limited_as_in_serde_json() {
    let wants = wants(&["a", "b"]);
    let (mut strict, mut structural) = (benches(true, &wants), benches(false, &wants));
    for (open, close, levels) in [("[", "]", 1), ("{\"a\":", "}", 1), ("[{\"x\":", "}]", 2)] {
        for repeat in [62, 63, 64, MAX_DEPTH - 1, MAX_DEPTH] {
            let record = format!("{{\"a\":{}1{}}}", open.repeat(repeat), close.repeat(repeat));
            check(&mut strict, &mut structural, &record);
            for bench in strict.iter_mut() {
                let deep = bench.walk(record.as_bytes()) == Err(JsonError::TooDeep);
                assert_eq!(deep, levels * repeat + 1 > MAX_DEPTH, "{record}");
            }
        }
    }
    // Along a wanted path that is as deep. Structural walks pass over what lies below it.
    let path = vec!["a"; MAX_DEPTH].join(".");
    let record = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    for strict in [true, false] {
        for mut bench in benches(strict, &self::wants(&[&path])) {
            assert!(bench.walk(record(MAX_DEPTH).as_bytes()).is_ok());
            assert_eq!(bench.text(0), "1");
            let deeper = bench.walk(record(MAX_DEPTH + 1).as_bytes());
            assert_eq!(deeper.err(), strict.then_some(JsonError::TooDeep));
        }
    }
}

#[test]
fn the_last_duplicate_counts_and_is_reported() {
    let wants = wants(&["a", "a.b", "c.d", "c.e.f", "g"]);
    for mut bench in [true, false].into_iter().flat_map(|s| benches(s, &wants)) {
        for (record, duplicates) in [
            (r#"{"a":1,"g":2}"#, 0),
            (r#"{"a":1,"a":2}"#, 1),
            (r#"{"a":1,"a":2,"\u0061":3}"#, 2),
            (r#"{"g":null,"g":1,"g":null}"#, 2),
            (r#"{"a":{"b":1},"a":{"x":2}}"#, 1),
            (r#"{"c":{"d":1,"e":{"f":2}},"c":{"e":{"f":3}}}"#, 1),
            (r#"{"c":{"d":1},"c":null}"#, 1),
            (r#"{"c":{"e":{"f":1},"e":[]}}"#, 1),
            (r#"{"c":{"e":{"f":1}},"c":{"e":{"f":1}},"c":{}}"#, 2),
            (r#"{"x":1,"x":2,"y":{"a":1,"a":2}}"#, 0),
        ] {
            let walked = bench.walk(record.as_bytes()).unwrap();
            assert_eq!(walked.duplicates, duplicates, "{record}");
            bench.agrees(&serde_json::from_str(record).unwrap(), walked);
        }
    }
}

#[test]
fn types_that_are_not_allowed_fail_the_record() {
    let strings = 1 << tag::STR | 1 << tag::NULL;
    let want = |path: &str, slot, allowed| Want {
        path: Path::parse(path).unwrap(),
        slot,
        allowed,
        required: Some(slot as u8),
    };
    let wants = [want("a", 0, 0), want("a", 1, strings), want("b.c", 2, 1 << tag::NUM)];
    for mut bench in [true, false].into_iter().flat_map(|s| benches(s, &wants)) {
        assert_eq!(bench.walk(br#"{"a":"x","b":{"c":1}}"#).unwrap().seen, 0b111);
        assert_eq!((bench.text(0), bench.text(1), bench.tag(2)), ("x", "x", tag::NUM));
        assert_eq!(bench.walk(br#"{"a":null}"#).unwrap().seen, 0);
        assert_eq!((bench.tag(0), bench.tag(1), bench.tag(2)), (tag::NULL, tag::NULL, tag::ABSENT));
        assert_eq!(bench.walk(br#"{"b":{"c":1},"a":1}"#), Err(JsonError::WrongType { slot: 1, at: 17 }));
        assert_eq!(bench.walk(br#"{"a":{"x":[]}}"#), Err(JsonError::WrongType { slot: 1, at: 5 }));
        assert_eq!(bench.walk(br#"{"b":{"c":"t"}}"#), Err(JsonError::WrongType { slot: 2, at: 10 }));
        assert_eq!(bench.walk(br#"{"b":{"c":"\n"}}"#), Err(JsonError::WrongType { slot: 2, at: 10 }));
        assert_eq!(bench.walk(br#"{"b":{"c":null}}"#), Err(JsonError::WrongType { slot: 2, at: 10 }));
    }
}

#[test]
fn errors_say_what_and_where() {
    let text =
        |record: &str| Bench::new(Walker::new(true), &wants(&["a"])).walk(record.as_bytes()).unwrap_err().to_string();
    assert_eq!(text("{\"a\" 1}"), "not JSON: expected `:` after a key at byte 5");
    assert_eq!(text("{\"a\":1"), "not JSON: the record ends too early at byte 6");
    assert_eq!(text("{\"a\":\"1\u{3}\"}"), "not JSON: control character in a string at byte 7");
    assert_eq!(text("{\"a\":\"\\q\"}"), "not JSON: unknown escape at byte 6");
    assert_eq!(text("{\"a\":1} x"), "not JSON: text after the end of the object at byte 8");
    assert_eq!(text("{\"b\":[1,01]}"), "not JSON: not a number at byte 8");
    for other in ["", "  ", "[1]", "1", "\"{}\"", "\u{feff}{}"] {
        assert_eq!(text(other), JsonError::NotAnObject.to_string());
    }
}

#[test]
fn numbers_out_of_range_are_numbers() {
    for mut bench in [true, false].into_iter().flat_map(|s| benches(s, &wants(&["a"]))) {
        bench.walk(br#"{"b":-1e999,"a":1e400}"#).unwrap();
        assert_eq!((bench.tag(0), bench.text(0)), (tag::NUM, "1e400"));
    }
}

#[test]
fn structural_walks_check_what_they_traverse_only() {
    let mut bench = Bench::new(Walker::new(false), &wants(&["a", "b[0]"]));
    bench.walk(br#"{"x":{"y":[tru,01,,]},"a":1,"b":[7,nonsense]}"#).unwrap();
    assert_eq!((bench.text(0), bench.text(1)), ("1", "7"));
    bench.walk(br#"{"a":"\ud83d!"}"#).unwrap();
    assert_eq!(bench.text(0), "\u{FFFD}!");
    for bad in [r#"{"a":"\x"}"#, r#"{"a":01}"#, r#"{"a":1}}"#, r#"{"a":1,}"#, r#"{"x":[[]}"#] {
        assert!(bench.walk(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn json_inside_a_string_is_walked_with_another_trie() {
    let record = br#"{"message":"{\"a\":\"x\\ty\",\"b\":{\"c\":1}}"}"#;
    let outer = Trie::compile(&wants(&["message"]));
    let inner =
        Trie::compile(&[("a", 1), ("b", 2), ("b.c", 3)].map(|(p, slot)| Want { slot, ..wants(&[p])[0].clone() }));
    for strict in [true, false] {
        let (mut cols, mut side, mut data) = (Columns::new(4, 1), vec![], record.to_vec());
        data.resize(record.len() + PAD, 0);
        let mut walker = Walker::new(strict);
        walker.walk(&outer, &data, 0, record.len(), 0, &mut cols, &mut side, record.len()).unwrap();
        let (at, len) = (cols.pos[0] as u32 as usize - record.len(), (cols.pos[0] >> 32) as usize);
        walker.walk_side(&inner, at, len, 0, &mut cols, &mut side, record.len()).unwrap();
        data.truncate(record.len());
        data.extend_from_slice(&side);
        let text = |slot: usize| &data[cols.pos[slot] as u32 as usize..][..(cols.pos[slot] >> 32) as usize];
        assert_eq!(text(1), b"x\ty");
        assert_eq!(text(2), br#"{"c":1}"#);
        assert_eq!(text(3), b"1");
        // A failure of the inner text leaves the outer values alone.
        let before = side.len();
        assert!(walker.walk_side(&inner, at, len - 1, 0, &mut cols, &mut side, record.len()).is_err());
        assert_eq!((cols.tag.clone(), side.len()), (vec![tag::STR, 0, 0, 0], before));
    }
}

#[test]
fn a_buffer_without_padding_is_slow_not_wrong() {
    let trie = Trie::compile(&wants(&["a"]));
    let (mut cols, mut side) = (Columns::new(1, 1), vec![]);
    let data = br#"....{"a":"x"}"#;
    let mut walker = Walker::new(true);
    walker.walk(&trie, data, 4, 9, 0, &mut cols, &mut side, 0).unwrap();
    assert_eq!(cols.pos[0], 10 | 1 << 32);
    assert!(walker.walk(&trie, data, 4, 10, 0, &mut cols, &mut side, 0).is_err());
}

#[test]
fn utf8_errors_have_a_position() {
    assert_eq!(valid_utf8("grün".as_bytes()), Ok(()));
    assert_eq!(valid_utf8(b"gr\xC3\xBCn\xFF!"), Err(5));
}

/// Any JSON value as text, with white space and needless escapes.
fn json_text() -> impl Strategy<Value = String> {
    let space = || prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n\t")];
    let string = prop_oneof![
        "[a-c]{0,2}".prop_map(|s| format!("\"{s}\"")),
        any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        Just(r#""\u0061""#.to_string()),
    ];
    let leaf = prop_oneof![
        string.clone(),
        prop_oneof![Just("true"), Just("false"), Just("null")].prop_map(String::from),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
    ];
    let value = leaf.prop_recursive(5, 40, 5, move |inner| {
        let member =
            (string.clone(), space(), inner.clone(), space()).prop_map(|(k, a, v, b)| format!("{k}{a}:{b}{v}"));
        prop_oneof![
            (proptest::collection::vec(member, 0..5), space())
                .prop_map(|(m, s)| format!("{{{s}{}{s}}}", m.join(&format!("{s},{s}")))),
            (proptest::collection::vec(inner, 0..5), space())
                .prop_map(|(v, s)| format!("[{s}{}{s}]", v.join(&format!("{s},{s}")))),
        ]
    });
    proptest::collection::vec(value, 1..4).prop_map(|v| format!("{{\"a\":{},\"b\":[{}]}}", v[0], v.join(",")))
}

proptest! {
    #[test]
    fn generated_values_fare_as_with_serde_json(record in json_text()) {
        let wants = wants(&["a", "a.a", "a.b", "a[0]", "a[1].a", "b[0]", "b[1].b", "b[2]", "a.a.a", "a.a.b", "b[0][0]"]);
        prop_assert!(judge(&record).is_none_or(|j| j.is_some()));
        check(&mut benches(true, &wants), &mut benches(false, &wants), &record);
    }
}
