//! The indicators of one event while they are gathered: text in one arena, reused from event to event.
use crate::indicator::Any;

/// Up to this many values, a new one is compared with all before it: most repeat within one event.
const COMPARED: usize = 24;

/// Indicators of one event.
#[derive(Clone, Debug)]
pub struct Found {
    /// Fields that are of interest, as a bit set (`1 << Any`).
    only: u16,
    text: String,
    values: Vec<Entry>,
}

/// A value: which field's, and where it is in the text.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The field, and the first bytes of the value: most comparisons end here.
    head: u64,
    from: usize,
    to: usize,
}

/// Sorts as field and value do, as far as it goes: UTF-8 sorts by its bytes as it does by its characters. What follows, and
/// whether a zero is a byte of the value or its end, is decided by the values.
#[inline]
fn head(field: Any, value: &str) -> u64 {
    let mut first = [0; 8];
    first[0] = field as u8;
    let n = value.len().min(7);
    first[1..=n].copy_from_slice(&value.as_bytes()[..n]);
    u64::from_be_bytes(first)
}

impl Entry {
    #[inline]
    fn of(self, text: &str) -> (u64, &[u8]) {
        (self.head, &text.as_bytes()[self.from..self.to])
    }

    fn field(self) -> Any {
        Any::NAMES[(self.head >> 56) as usize].1
    }
}

impl Default for Found {
    fn default() -> Self {
        Found::fields(u16::MAX)
    }
}

impl Found {
    /// Gather one field only.
    pub fn only(field: Any) -> Found {
        Found::fields(1 << field as u16)
    }

    /// Gather the fields of a bit set (`1 << Any`).
    pub fn fields(only: u16) -> Found {
        Found { only, text: String::new(), values: Vec::new() }
    }

    /// Start on another event.
    pub fn restart(&mut self, only: u16) {
        self.only = only;
        self.text.clear();
        self.values.clear();
    }

    /// True if one of the fields in the bit set is of interest.
    #[inline]
    pub fn wants(&self, fields: u16) -> bool {
        self.only & fields != 0
    }

    /// Add a value.
    pub fn put(&mut self, field: Any, value: &str) {
        if value.is_empty() || !self.wants(1 << field as u16) {
            return;
        }
        let head = head(field, value);
        let known = |e: &Entry| e.head == head && self.text.as_bytes()[e.from..e.to] == *value.as_bytes();
        if self.values.len() <= COMPARED && self.values.iter().any(known) {
            return;
        }
        let from = self.text.len();
        self.text.push_str(value);
        self.values.push(Entry { head, from, to: self.text.len() });
    }

    /// Give every field that has values, in order of name, with its values sorted and without duplicates.
    pub fn each<'a>(&'a mut self, mut field: impl FnMut(Any, &mut dyn Iterator<Item = &'a str>)) {
        let text = &self.text;
        self.values.sort_unstable_by(|a, b| a.of(text).cmp(&b.of(text)));
        self.values.dedup_by(|a, b| a.of(text) == b.of(text));
        for group in self.values.chunk_by(|a, b| a.head >> 56 == b.head >> 56) {
            field(group[0].field(), &mut group.iter().map(|e| &text[e.from..e.to]));
        }
    }

    /// As [`Found::each`], owned.
    pub fn finish(mut self) -> Vec<(Any, Vec<String>)> {
        let mut out = Vec::new();
        self.each(|field, values| out.push((field, values.map(String::from).collect())));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sorted_and_unique_also_when_they_are_many() {
        let mut f = Found::default();
        for round in 0..3 {
            for n in 0..100 {
                f.put(Any::Usernames, &format!("u{:03}", (n * 37 + round) % 100));
                f.put(Any::Emails, "a@b");
            }
        }
        f.put(Any::Usernames, "");
        let got = f.finish();
        assert_eq!(got[0], (Any::Emails, vec!["a@b".to_string()]));
        assert_eq!(got[1].1, (0..100).map(|n| format!("u{n:03}")).collect::<Vec<_>>());
    }

    #[test]
    fn values_that_begin_alike_are_in_order() {
        let mut f = Found::default();
        let sorted = ["a", "a\0", "a\0b", "ab", "abcdefg", "abcdefg\0", "abcdefgh", "abcdefgi", "\u{e9}", "\u{1f600}"];
        for v in sorted.iter().rev().chain(&sorted) {
            f.put(Any::Usernames, v);
        }
        assert_eq!(f.finish(), vec![(Any::Usernames, sorted.map(String::from).to_vec())]);
    }

    #[test]
    fn only_what_is_of_interest_is_kept() {
        let mut f = Found::only(Any::Emails);
        f.put(Any::Usernames, "u");
        assert_eq!(f.clone().finish(), vec![]);
        f.restart(1 << Any::Usernames as u16);
        f.put(Any::Usernames, "u");
        f.put(Any::Emails, "a@b");
        assert_eq!(f.finish(), vec![(Any::Usernames, vec!["u".to_string()])]);
    }
}
