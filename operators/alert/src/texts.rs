//! Texts that many windows share: rule ids, log types, and what a rule says in every one of its alerts. Held once, named
//! by a number.
//!
//! There are as many as the rules have, so nothing is ever given up; a session starts with those its state still names.
use hashbrown::HashMap;
use std::sync::Arc;

/// Texts by number.
#[derive(Default)]
pub struct Texts {
    list: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Texts {
    /// Number of a text.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(n) = self.numbers.get(text) {
            return *n;
        }
        let (text, n): (Arc<str>, u32) = (text.into(), self.list.len() as u32);
        self.list.push(text.clone());
        self.numbers.insert(text, n);
        n
    }
    /// Text of a number that [`Texts::number`] gave.
    pub fn get(&self, number: u32) -> &Arc<str> {
        &self.list[number as usize]
    }
}
