//! The condition of a Sigma rule.
//!
//! ```text
//! or   := and ("or" and)*
//! and  := not ("and" not)*
//! not  := "not" not | "(" or ")" | ("1" | "any" | "all") "of" ("them" | pattern) | name
//! ```
//!
//! `them` are all searches whose name does not begin with `_`; a pattern may hold `*`. Source: Sigma specification 2.1,
//! "Condition". Words are read in any case.
use crate::like::glob::{Glob, Part};

/// Deepest nesting.
pub const MAX_DEPTH: usize = 64;
/// Longest condition, bytes.
pub const MAX_LENGTH: usize = 10_000;

/// A condition over searches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cond {
    /// The search with this index.
    Search(usize),
    /// The opposite.
    Not(Box<Cond>),
    /// All hold.
    All(Vec<Cond>),
    /// One holds.
    Any(Vec<Cond>),
}

/// Why a condition cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is wrong: what, and what to do.
    Broken(String, String),
    /// It is of an older language.
    Unsupported(String),
}

/// Read a condition over searches of these names.
pub fn parse(text: &str, names: &[&str]) -> Result<Cond, Trouble> {
    if text.len() > MAX_LENGTH {
        return broken(format!("the condition is longer than {MAX_LENGTH} bytes"), "split the rule");
    }
    if text.contains('|') {
        return Err(Trouble::Unsupported("an aggregation behind `|` in the condition, as Sigma 1 had it".into()));
    }
    let mut reader = Reader { tokens: tokens(text)?, at: 0, depth: 0, names };
    let cond = reader.or()?;
    match reader.peek() {
        None => Ok(cond),
        Some(Token::Close) => broken("there is a `)` too many", ""),
        Some(Token::Word(w)) => broken(format!("`and` or `or` is missing before `{w}`"), ""),
        Some(Token::Open) => broken("`and` or `or` is missing before `(`", ""),
    }
}

fn broken<T>(what: impl Into<String>, hint: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Broken(what.into(), hint.into()))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'t> {
    Open,
    Close,
    Word(&'t str),
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Trouble> {
    let (mut out, mut rest) = (Vec::new(), text.trim_start());
    while let Some(c) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '*' | '.' | '?');
        let len = match c {
            '(' | ')' => {
                out.push(if c == '(' { Token::Open } else { Token::Close });
                1
            }
            c if word(c) => {
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                out.push(Token::Word(&rest[..end]));
                end
            }
            c => return broken(format!("{c:?} does not belong in a condition"), ""),
        };
        rest = rest[len..].trim_start();
    }
    Ok(out)
}

struct Reader<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
    depth: usize,
    names: &'t [&'t str],
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<&Token<'t>> {
        self.tokens.get(self.at)
    }

    /// Take a word if it is this one.
    fn word(&mut self, want: &str) -> bool {
        let hit = matches!(self.peek(), Some(Token::Word(w)) if w.eq_ignore_ascii_case(want));
        self.at += usize::from(hit);
        hit
    }

    fn or(&mut self) -> Result<Cond, Trouble> {
        self.chain("or", Cond::Any, Reader::and)
    }

    fn and(&mut self) -> Result<Cond, Trouble> {
        self.chain("and", Cond::All, Reader::not)
    }

    fn chain(
        &mut self,
        word: &str,
        join: fn(Vec<Cond>) -> Cond,
        next: fn(&mut Self) -> Result<Cond, Trouble>,
    ) -> Result<Cond, Trouble> {
        let mut list = vec![next(self)?];
        while self.word(word) {
            list.push(next(self)?);
        }
        Ok(if list.len() == 1 { list.remove(0) } else { join(list) })
    }

    fn not(&mut self) -> Result<Cond, Trouble> {
        if self.depth == MAX_DEPTH {
            return broken(format!("nested deeper than {MAX_DEPTH} levels"), "split the rule");
        }
        self.depth += 1;
        let out = if self.word("not") { self.not().map(|c| Cond::Not(Box::new(c))) } else { self.atom() };
        self.depth -= 1;
        out
    }

    fn atom(&mut self) -> Result<Cond, Trouble> {
        let token = self.peek().cloned();
        self.at += 1;
        match token {
            None => broken("the condition ends where a search is expected", ""),
            Some(Token::Close) => broken("`)` stands where a search is expected", ""),
            Some(Token::Open) => {
                let inner = self.or()?;
                match self.peek() {
                    Some(Token::Close) => self.at += 1,
                    _ => return broken("a `(` is not closed", ""),
                }
                Ok(inner)
            }
            Some(Token::Word(w)) if self.word("of") => self.of(w),
            Some(Token::Word(w)) => match self.names.iter().position(|n| *n == w) {
                Some(i) => Ok(Cond::Search(i)),
                None => {
                    let near = crate::condition::nearest(w, self.names.iter().copied());
                    let hint = near.map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
                    broken(format!("there is no search `{w}`"), hint)
                }
            },
        }
    }

    /// `1 of`, `any of`, `all of`.
    fn of(&mut self, count: &str) -> Result<Cond, Trouble> {
        let join = match count.to_ascii_lowercase().as_str() {
            "1" | "any" => Cond::Any,
            "all" => Cond::All,
            n if n.parse::<u32>().is_ok() => {
                return Err(Trouble::Unsupported(format!("`{n} of`; Sigma has `1 of` and `all of`")));
            }
            _ => return broken(format!("`{count} of` is not known"), "write `1 of` or `all of`"),
        };
        let Some(Token::Word(pattern)) = self.peek().cloned() else {
            return broken(
                "the name of searches is missing behind `of`",
                "write `them` or a name such as `selection*`",
            );
        };
        self.at += 1;
        let hit: Box<dyn Fn(&str) -> bool> = match pattern {
            "them" => Box::new(|name| !name.starts_with('_')),
            pattern => {
                let glob = glob(pattern);
                Box::new(move |name| glob.fits(name))
            }
        };
        let list: Vec<Cond> = (0..self.names.len()).filter(|i| hit(self.names[*i])).map(Cond::Search).collect();
        match list.len() {
            0 => broken(format!("no search is called `{pattern}`"), ""),
            1 => Ok(list.into_iter().next().unwrap_or(Cond::Any(Vec::new()))),
            _ => Ok(join(list)),
        }
    }
}

fn glob(pattern: &str) -> Glob {
    let part = |c: char| if c == '*' { Part::Many } else { Part::Text(c.into()) };
    Glob::new(pattern.chars().map(part).collect(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["selection", "filter_a", "filter_b", "_hidden", "sel-2"];

    fn show(c: &Cond) -> String {
        let list = |v: &[Cond], op: &str| format!("({})", v.iter().map(show).collect::<Vec<_>>().join(op));
        match c {
            Cond::Search(i) => NAMES[*i].into(),
            Cond::Not(c) => format!("!{}", show(c)),
            Cond::All(v) => list(v, "&"),
            Cond::Any(v) => list(v, "|"),
        }
    }

    #[test]
    fn grammar() {
        for (text, want) in [
            ("selection", "selection"),
            ("selection or filter_a and filter_b", "(selection|(filter_a&filter_b))"),
            ("not selection and filter_a", "(!selection&filter_a)"),
            ("not (selection or filter_a)", "!(selection|filter_a)"),
            ("not not selection", "!!selection"),
            ("((selection))", "selection"),
            ("1 of them", "(selection|filter_a|filter_b|sel-2)"),
            ("all of them", "(selection&filter_a&filter_b&sel-2)"),
            ("any of filter_*", "(filter_a|filter_b)"),
            ("1 of _*", "_hidden"),
            ("1 of sel*", "(selection|sel-2)"),
            ("selection and not 1 of filter*", "(selection&!(filter_a|filter_b))"),
            ("selection AND NOT filter_a", "(selection&!filter_a)"),
            ("selection and(filter_a)or sel-2", "((selection&filter_a)|sel-2)"),
            ("\n selection\n  or filter_a ", "(selection|filter_a)"),
            ("all of *_a", "filter_a"),
        ] {
            assert_eq!(parse(text, NAMES).map(|c| show(&c)).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn mistakes() {
        for (text, want) in [
            ("", "ends where a search is expected"),
            ("selection and", "ends where a search is expected"),
            ("(selection", "not closed"),
            ("selection)", "too many"),
            ("selection filter_a", "missing before `filter_a`"),
            ("selection (filter_a)", "missing before `(`"),
            ("selectoin", "no search `selectoin`"),
            ("1 of nothing*", "no search is called `nothing*`"),
            ("some of them", "`some of`"),
            ("1 of", "missing behind `of`"),
            ("selection & filter_a", "'&'"),
        ] {
            match parse(text, NAMES) {
                Err(Trouble::Broken(what, _)) => assert!(what.contains(want), "{text}: {what}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in ["selection | count() > 5", "2 of them"] {
            assert!(matches!(parse(text, NAMES), Err(Trouble::Unsupported(_))), "{text}");
        }
        let deep = |n: usize| format!("{}selection{}", "(".repeat(n), ")".repeat(n));
        assert!(parse(&deep(MAX_DEPTH - 1), NAMES).is_ok());
        assert!(parse(&deep(MAX_DEPTH), NAMES).is_err());
    }
}
