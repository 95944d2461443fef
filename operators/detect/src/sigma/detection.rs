//! The `detection` of a Sigma rule: searches by name, and the condition over them.
//!
//! A mapping is an AND of its items, a list an OR of its mappings; a list of texts is an OR of keywords, which are looked
//! for anywhere in the event. Source: Sigma specification 2.1, "Detection".
use super::condition::{self, Cond, Trouble};
use super::finding::Found;
use super::modifier::{Ask, Item, Wanted, item};
use super::value::{self, Placeholders};
use crate::like::glob::Part;
use model::path::Seg;
use serde_json::{Map, Value as J};

/// Most searches of a rule.
pub const MAX_SEARCHES: usize = 500;
/// Most items of a rule.
pub const MAX_ITEMS: usize = 5_000;

/// Searches and the condition over them.
#[derive(Clone, Debug)]
pub struct Detection {
    /// The searches, in the order of the file.
    pub searches: Vec<Search>,
    /// Over their indexes.
    pub condition: Cond,
}

/// A search, or a part of one.
#[derive(Clone, Debug)]
pub enum Search {
    /// All of them hold.
    All(Vec<Search>),
    /// One of them holds.
    Any(Vec<Search>),
    /// One question.
    Item(Item),
}

/// Read a detection. `reserved` are keys of the mapping that are neither searches nor the condition.
pub fn detection(
    map: &Map<String, J>,
    reserved: &[&str],
    placeholders: &Placeholders,
    found: &mut Found,
) -> Option<Detection> {
    let names: Vec<&str> =
        map.keys().map(String::as_str).filter(|k| *k != "condition" && !reserved.contains(k)).collect();
    if names.len() > MAX_SEARCHES {
        found.broken(format!("more than {MAX_SEARCHES} searches"), "split the rule");
        return None;
    }
    let mut reader = Reader { placeholders, items: 0 };
    let read = |name: &&str| found.at_key(name, |found| reader.search(&map[*name], found));
    let searches: Vec<Option<Search>> = names.iter().map(read).collect();
    let condition = found.at_key("condition", |found| conditions(map.get("condition"), &names, found))?;
    Some(Detection { searches: searches.into_iter().collect::<Option<_>>()?, condition })
}

/// One condition, or a list of which one must hold.
fn conditions(v: Option<&J>, names: &[&str], found: &mut Found) -> Option<Cond> {
    let texts: Vec<&str> = match v {
        Some(J::String(s)) => vec![s],
        Some(J::Array(list)) if !list.is_empty() && list.iter().all(J::is_string) => {
            list.iter().filter_map(J::as_str).collect()
        }
        Some(_) => {
            found.broken("a condition is a text, or a list of texts", "");
            return None;
        }
        None => {
            found.broken("the condition is missing", "write `condition: selection`");
            return None;
        }
    };
    let mut out = Vec::new();
    for text in texts {
        match condition::parse(text, names) {
            Ok(c) => out.push(c),
            Err(Trouble::Broken(what, hint)) => found.broken(what, &hint),
            Err(Trouble::Unsupported(what)) => found.unsupported(what, "write a Sigma correlation"),
        }
    }
    match out.len() {
        0 => None,
        1 => out.pop(),
        _ => Some(Cond::Any(out)),
    }
}

struct Reader<'p> {
    placeholders: &'p Placeholders,
    items: usize,
}

impl Reader<'_> {
    fn search(&mut self, v: &J, found: &mut Found) -> Option<Search> {
        match v {
            J::Object(map) => self.map(map, found),
            J::Array(list) if list.is_empty() => {
                found.broken("the search is empty", "");
                None
            }
            J::Array(list) if list.iter().any(|v| v.is_object() || v.is_array()) => {
                let mut read = |(i, v): (usize, &J)| {
                    found.inside(Seg::Index(i as i64), |found| match v {
                        J::Object(map) => self.map(map, found),
                        J::Array(_) | J::Null => {
                            found.broken("a search is a list of mappings, or a list of texts", "");
                            None
                        }
                        text => Some(self.keyword(text)),
                    })
                };
                let all: Vec<Option<Search>> = list.iter().enumerate().map(&mut read).collect();
                Some(Search::Any(all.into_iter().collect::<Option<_>>()?))
            }
            J::Null => {
                found.broken("the search is empty", "");
                None
            }
            // One text, or several: keywords.
            values => item("", values, self.placeholders, found).map(Search::Item),
        }
    }

    fn map(&mut self, map: &Map<String, J>, found: &mut Found) -> Option<Search> {
        if map.is_empty() {
            found.broken("the search is empty", "");
            return None;
        }
        self.items += map.len();
        if self.items > MAX_ITEMS {
            found.broken(format!("more than {MAX_ITEMS} items"), "split the rule");
            return None;
        }
        let read = |(key, v): (&String, &J)| {
            found.at_key(key, |found| item(key, v, self.placeholders, found)).map(Search::Item)
        };
        let mut all = map.iter().map(read).collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?;
        Some(if all.len() == 1 { all.remove(0) } else { Search::All(all) })
    }

    /// A keyword beside mappings.
    fn keyword(&mut self, v: &J) -> Search {
        let text = crate::key::text(v);
        let parts = [Part::Many].into_iter().chain(value::parse(&text)).chain([Part::Many]).collect();
        let values = vec![Wanted::Text(vec![parts], false)];
        Search::Item(Item { field: None, ask: Ask::Values { values, all: false }, negated: false })
    }
}
