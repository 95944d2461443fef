//! Line and column of a place in a YAML text, for messages.
//!
//! The YAML reader gives places for syntax errors only. This finds a key by its path in block style, which is how
//! schemas are written; in flow style it ends at the last key it could find, which is still the right line mostly.

/// One step from the root of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Key of a mapping.
    Key(String),
    /// Item of a sequence.
    Item(usize),
}

/// 1-based line and column of a path; `(1, 1)` if nothing of it can be found.
pub fn locate(text: &str, path: &[Step]) -> (u32, u32) {
    let lines: Vec<&str> = text.lines().collect();
    let (mut from, mut best, mut min_col) = (0usize, (0usize, 0usize), 0usize);
    let mut inline_item = false;
    for step in path {
        let found = match step {
            Step::Key(k) => find_key(&lines, from, min_col, k, inline_item),
            Step::Item(n) => find_item(&lines, from, *n),
        };
        let Some((line, col)) = found else { break };
        best = (line, col);
        match step {
            Step::Key(_) => (from, min_col, inline_item) = (line + 1, col, false),
            // The first key of an item stands on the item's own line, behind the dash.
            Step::Item(_) => (from, min_col, inline_item) = (line, col + 1, true),
        }
    }
    (best.0 as u32 + 1, best.1 as u32 + 1)
}

/// Column where the content of a line starts, dashes of sequence items passed over.
fn content(line: &str) -> usize {
    let mut col = line.len() - line.trim_start().len();
    while line[col..].starts_with("- ") {
        col += 1;
        col += line[col..].len() - line[col..].trim_start().len();
    }
    col
}

fn is_key(line: &str, col: usize, key: &str) -> bool {
    let rest = &line[col..];
    let bare = rest.strip_prefix(key).or_else(|| {
        let inner = rest.strip_prefix(['"', '\''])?.strip_prefix(key)?;
        inner.strip_prefix(['"', '\''])
    });
    bare.is_some_and(|r| r.trim_start().starts_with(':'))
}

fn find_key(lines: &[&str], from: usize, min_col: usize, key: &str, inline: bool) -> Option<(usize, usize)> {
    for (i, line) in lines.iter().enumerate().skip(from) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let col = content(line);
        let own_item = inline && i == from;
        if !own_item && col < min_col {
            return None;
        }
        if is_key(line, col, key) {
            return Some((i, col));
        }
    }
    None
}

fn find_item(lines: &[&str], from: usize, n: usize) -> Option<(usize, usize)> {
    let (mut indent, mut seen) = (None, 0usize);
    for (i, line) in lines.iter().enumerate().skip(from) {
        let col = line.len() - line.trim_start().len();
        let rest = &line[col..];
        if rest.is_empty() || rest.starts_with('#') {
            continue;
        }
        let dash = rest == "-" || rest.starts_with("- ");
        match indent {
            None if dash => indent = Some(col),
            None => return None,
            Some(at) if col < at || (col == at && !dash) => return None,
            Some(_) => {}
        }
        if dash && indent == Some(col) {
            if seen == n {
                return Some((i, col));
            }
            seen += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_keys_and_items() {
        let text = "version: 0\nfields:\n  - name: a\n    type: string\n  # c\n  - name: b\n    type: object\n    fields:\n    - name: c\n      type: int\ndefinitions:\n  X:\n    type: json\n";
        let k = |s: &str| Step::Key(s.into());
        assert_eq!(locate(text, &[k("fields"), Step::Item(1), k("type")]), (7, 5));
        assert_eq!(locate(text, &[k("fields"), Step::Item(1), k("name")]), (6, 5));
        assert_eq!(locate(text, &[k("fields"), Step::Item(1), k("fields"), Step::Item(0), k("type")]), (10, 7));
        assert_eq!(locate(text, &[k("definitions"), k("X"), k("type")]), (13, 5));
        assert_eq!(locate(text, &[k("nothing")]), (1, 1));
        assert_eq!(locate(text, &[k("fields"), Step::Item(7)]), (2, 1));
    }
}
