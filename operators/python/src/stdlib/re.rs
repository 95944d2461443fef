//! `re`, over the regex crate. [`super::pattern`] translates; what the crate cannot do is unknown.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use regex::Regex;

use super::{Lib, pattern};
use crate::exc::{Kind, R, raise, type_error, unknown};
use crate::native::{Args, NativeFn, Vm};
use crate::ops::int_of;
use crate::value::Value;

mod found;

pub use found::{Found, MATCH_METHODS, group, match_method};
use found::{found, found_at};

/// `re.IGNORECASE`.
pub const IGNORECASE: i128 = 2;

/// `re.MULTILINE`.
pub const MULTILINE: i128 = 8;

/// `re.DOTALL`.
pub const DOTALL: i128 = 16;

/// A compiled regular expression.
#[derive(Debug)]
pub struct Pattern {
    /// As it is written.
    pub source: String,
    search: Regex,
    start: Regex,
    full: Regex,
    /// It may prefer to match nothing where it could match something.
    shy: bool,
    /// It ends with `$`, which Python also matches before a last newline.
    dollar: bool,
    /// It ignores case; Python takes two Turkish letters for an i.
    ignore: bool,
    /// It has `\b`, whose words differ from Python's for a few characters.
    words: bool,
}

/// Patterns that one thread keeps compiled.
const CACHE: usize = 512;

thread_local! {
    static COMPILED: RefCell<HashMap<(String, i128), Rc<Pattern>>> = RefCell::default();
}

/// Functions of the module.
pub static FUNCTIONS: &[NativeFn] = &[
    NativeFn { name: "compile", call: |vm, args| named(vm, "compile", args) },
    NativeFn { name: "search", call: |vm, args| named(vm, "search", args) },
    NativeFn { name: "match", call: |vm, args| named(vm, "match", args) },
    NativeFn { name: "fullmatch", call: |vm, args| named(vm, "fullmatch", args) },
    NativeFn { name: "findall", call: |vm, args| named(vm, "findall", args) },
    NativeFn { name: "finditer", call: |vm, args| named(vm, "finditer", args) },
    NativeFn { name: "sub", call: |vm, args| named(vm, "sub", args) },
    NativeFn { name: "split", call: |vm, args| named(vm, "split", args) },
    NativeFn { name: "escape", call: escape },
];

/// Methods of a pattern.
pub const PATTERN_METHODS: &[&str] = &["search", "match", "fullmatch", "findall", "finditer", "sub", "split"];

fn escape(_: &mut Vm, args: Args) -> R<Value> {
    args.check("escape", 1, 1)?;
    let Value::Str(text) = &args.pos[0] else { return unknown("re.escape of something else than a text") };
    let mut out = String::new();
    for c in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    Ok(Value::str(out))
}

/// A function of the module: compile, then call the method.
fn named(vm: &mut Vm, name: &str, args: Args) -> R<Value> {
    args.check_named(name, 1, 5, &["pattern", "string", "flags", "repl", "count", "maxsplit"])?;
    let Some(source) = args.get(0, "pattern") else {
        return type_error(format!("{name}() missing 1 required positional argument: 'pattern'"));
    };
    let at = match name {
        "compile" => 1,
        "sub" => 4,
        "split" => 3,
        _ => 2,
    };
    let flags = match args.get(at, "flags") {
        None => 0,
        Some(v) => match int_of(v) {
            Some(i) => i,
            None => return type_error("unsupported operand type(s) for &: 'str' and 'RegexFlag'"),
        },
    };
    let compiled = match source {
        Value::Lib(l) => match &**l {
            Lib::Pattern(p) if flags == 0 => p.clone(),
            _ => return unknown("flags for a compiled pattern"),
        },
        Value::Str(s) => compile(vm, s, flags)?,
        Value::Bytes(_) => return unknown("a pattern of bytes"),
        Value::Missing(what) => return unknown(format!("`{what}` is not available")),
        other => {
            return type_error(match other {
                Value::List(_) | Value::Dict(_) | Value::Set(_) => format!("unhashable type: '{}'", other.type_name()),
                _ => "first argument must be string or compiled pattern".into(),
            });
        }
    };
    if name == "compile" {
        return Ok(Value::lib(Lib::Pattern(compiled)));
    }
    let rest = args.pos.get(1..).unwrap_or(&[]);
    let rest = &rest[..rest.len().min(at - 1)];
    let kw: Vec<_> = args.kw.iter().filter(|(n, _)| &**n != "flags" && &**n != "pattern").cloned().collect();
    pattern_method(vm, &compiled, name, Args { pos: rest, kw: &kw })
}

fn compile(vm: &mut Vm, source: &str, flags: i128) -> R<Rc<Pattern>> {
    if let Some(known) = COMPILED.with_borrow(|c| c.get(&(source.to_string(), flags)).cloned()) {
        return Ok(known);
    }
    vm.charge(1_000 + source.len() as u64 * 20)?;
    if flags & !(IGNORECASE | MULTILINE | DOTALL | 32) != 0 {
        return unknown("this flag of a regular expression");
    }
    pattern::ignores_case(source, flags & IGNORECASE != 0)?;
    let translated = pattern::translate(source, flags & MULTILINE != 0)?;
    let mut head = String::from("(?");
    for (flag, letter) in [(IGNORECASE, 'i'), (MULTILINE, 'm'), (DOTALL, 's')] {
        if flags & flag != 0 {
            head.push(letter);
        }
    }
    head.push(')');
    let head = if head == "(?)" { String::new() } else { head };
    let body = &translated.text;
    let shape = pattern::shape(&format!("{head}{body}"))?;
    if shape.hollow {
        return unknown(format!("the regular expression {source:?}: it repeats a group that can match nothing"));
    }
    let make = |text: String| match Regex::new(&text) {
        Ok(regex) => Ok(regex),
        Err(e) => unknown(format!("the regular expression {source:?}: {}", last_line(&e.to_string()))),
    };
    let pattern = Rc::new(Pattern {
        source: source.into(),
        search: make(format!("{head}{body}"))?,
        start: make(format!("{head}\\A(?:{body})"))?,
        full: make(format!("{head}\\A(?:{body})\\z"))?,
        ignore: flags & IGNORECASE != 0 || source.starts_with("(?i"),
        shy: shape.shy,
        dollar: translated.dollar,
        words: translated.words,
    });
    COMPILED.with_borrow_mut(|c| {
        if c.len() >= CACHE {
            c.clear();
        }
        c.insert((source.into(), flags), pattern.clone());
    });
    Ok(pattern)
}

/// A pattern without flags, if it can be compiled.
pub(crate) fn known(source: &str) -> Option<Rc<Pattern>> {
    compile(&mut Vm::detached(), source, 0).ok()
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text)
}

/// Texts that a pattern refuses: of these it is not known what Python says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    /// Those that end in a newline.
    pub dollar: bool,
    /// Those with a dotless or dotted i.
    pub ignore: bool,
    /// Those that are not ASCII.
    pub words: bool,
}

impl Pattern {
    /// What is searched for by a method that gives a match or `None`.
    pub(crate) fn regex(&self, method: &str) -> Option<&Regex> {
        match method {
            "search" => Some(&self.search),
            "match" => Some(&self.start),
            "fullmatch" => Some(&self.full),
            _ => None,
        }
    }

    /// Which texts it refuses.
    pub(crate) fn refused(&self) -> Refused {
        Refused { dollar: self.dollar, ignore: self.ignore, words: self.words }
    }

    /// Whether a text is refused.
    ///
    /// # Errors
    /// Unknown if it is.
    pub(crate) fn admit(&self, text: &str) -> R<()> {
        if self.dollar && text.ends_with('\n') {
            return unknown("`$` before a last newline");
        }
        if self.ignore && text.contains(['İ', 'ı']) {
            return unknown("a dotless or dotted i under re.IGNORECASE");
        }
        if self.words && !text.is_ascii() {
            return unknown("word boundaries in a text that is not ASCII");
        }
        Ok(())
    }
}

fn string<'a>(args: &'a Args, at: usize) -> R<&'a Rc<str>> {
    match args.get(at, "string") {
        Some(Value::Str(s)) => Ok(s),
        Some(Value::Bytes(_)) => type_error("cannot use a string pattern on a bytes-like object"),
        Some(Value::Missing(name)) => unknown(format!("`{name}` is not available")),
        Some(v) => type_error(format!("expected string or bytes-like object, got '{}'", v.type_name())),
        None => type_error("missing required argument 'string' (pos 1)"),
    }
}

/// All matches, as Python steps: an empty match may touch the one before it.
fn each<'t>(pattern: &Pattern, text: &'t str) -> R<Vec<regex::Captures<'t>>> {
    let regex = &pattern.search;
    let mut out = Vec::new();
    let mut at = 0;
    let mut empty_at = None;
    while at <= text.len() {
        let Some(captures) = regex.captures_at(text, at) else { break };
        let Some(whole) = captures.get(0) else { break };
        if whole.is_empty() && pattern.shy {
            return unknown("all matches of a regular expression that may prefer to match nothing");
        }
        if whole.is_empty() && empty_at == Some(whole.start()) {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            empty_at = None;
            continue;
        }
        at = whole.end();
        empty_at = whole.is_empty().then_some(at);
        out.push(captures);
    }
    Ok(out)
}

/// Call a method of a pattern.
///
/// # Errors
/// `TypeError` for something else than a text; unknown where the crate differs.
pub fn pattern_method(vm: &mut Vm, pattern: &Rc<Pattern>, name: &str, args: Args) -> R<Value> {
    args.check_named(name, 0, 3, &["string", "repl", "count", "maxsplit"])?;
    let text = string(&args, usize::from(name == "sub"))?;
    pattern.admit(text)?;
    vm.charge(1 + text.len() as u64 / 16)?;
    match name {
        "search" | "match" | "fullmatch" => {
            if args.pos.len() > 1 {
                return unknown("a position to search from");
            }
            let Some(regex) = pattern.regex(name) else { return Ok(Value::None) };
            // Without groups the automaton knows the place; with them it knows whether there is one.
            if regex.captures_len() == 1 {
                return Ok(regex.find(text).map_or(Value::None, |m| found_at(pattern, text, m.range())));
            }
            if !regex.is_match(text) {
                return Ok(Value::None);
            }
            Ok(regex.captures(text).map_or(Value::None, |c| found(pattern, text, &c)))
        }
        "findall" => {
            let all = each(pattern, text)?;
            vm.memory(all.len() * 64)?;
            let group = |c: &regex::Captures, i: usize| Value::str(c.get(i).map_or("", |g| g.as_str()));
            Ok(Value::list(
                all.iter()
                    .map(|c| match c.len() {
                        1 => group(c, 0),
                        2 => group(c, 1),
                        n => Value::tuple((1..n).map(|i| group(c, i)).collect()),
                    })
                    .collect(),
            ))
        }
        "finditer" => {
            let all: Vec<Value> = each(pattern, text)?.iter().map(|c| found(pattern, text, c)).collect();
            vm.memory(all.len() * 128)?;
            Ok(Value::iter(crate::iter::Iter::Items(all.into_iter())))
        }
        "sub" => {
            let count = args.get(2, "count").and_then(int_of).unwrap_or(0);
            let Some(replacement) = args.get(0, "repl") else {
                return type_error("sub() missing required argument 'repl' (pos 1)");
            };
            let mut out = String::new();
            let mut last = 0;
            for (n, captures) in each(pattern, text)?.iter().enumerate() {
                if count > 0 && n as i128 >= count {
                    break;
                }
                let Some(whole) = captures.get(0) else { break };
                out.push_str(&text[last..whole.start()]);
                match replacement {
                    Value::Str(template) => expand(template, captures, &mut out)?,
                    function => {
                        let value = found(pattern, text, captures);
                        match vm.call(function, Args::positional(&[value]))? {
                            Value::Str(s) => out.push_str(&s),
                            v => return type_error(format!("expected str instance, {} found", v.type_name())),
                        }
                    }
                }
                vm.memory(out.len() - out.len().min(last))?;
                last = whole.end();
            }
            out.push_str(&text[last..]);
            Ok(Value::str(out))
        }
        "split" => {
            let most = args.get(1, "maxsplit").and_then(int_of).unwrap_or(0);
            let mut parts = Vec::new();
            let mut last = 0;
            for (n, captures) in each(pattern, text)?.iter().enumerate() {
                if most > 0 && n as i128 >= most {
                    break;
                }
                let Some(whole) = captures.get(0) else { break };
                parts.push(Value::str(&text[last..whole.start()]));
                parts.extend(
                    (1..captures.len()).map(|i| captures.get(i).map_or(Value::None, |g| Value::str(g.as_str()))),
                );
                last = whole.end();
            }
            parts.push(Value::str(&text[last..]));
            vm.memory(parts.len() * 64)?;
            Ok(Value::list(parts))
        }
        _ => unknown(format!("Pattern.{name}()")),
    }
}

/// A replacement with `\1`, `\g<name>` and escapes.
fn expand(template: &str, captures: &regex::Captures, out: &mut String) -> R<()> {
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') => out.push('\\'),
            Some('g') => {
                let name: String = chars.by_ref().skip(1).take_while(|c| *c != '>').collect();
                let group = match name.parse::<usize>() {
                    Ok(i) => captures.get(i),
                    Err(_) => captures.name(&name),
                };
                out.push_str(group.map_or("", |g| g.as_str()));
            }
            Some(d) if d.is_ascii_digit() && d != '0' => {
                if chars.peek().is_some_and(char::is_ascii_digit) {
                    return unknown("a group beyond 9 in a replacement");
                }
                let i = d as usize - '0' as usize;
                if i >= captures.len() {
                    return raise(Kind::PatternError, format!("invalid group reference {i} at position 1"));
                }
                out.push_str(captures.get(i).map_or("", |g| g.as_str()));
            }
            Some(c) if !c.is_ascii_alphanumeric() => {
                out.push('\\');
                out.push(c);
            }
            _ => return unknown("this escape in a replacement"),
        }
    }
    Ok(())
}
