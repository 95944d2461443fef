//! Truth of a literal for one row, read from columns. Must agree with [`crate::eval`] on the whole event.
use super::plan::{LitId, Literal, Node};
use super::view::View;
use crate::describe::Got;
use crate::eval;
use crate::expr::Comparison;
use crate::number::Num;
use crate::predicate::{Predicate, TextOp};
use model::Value;

/// Decides literals of a row; the program remembers some of them per distinct value, tests do not.
pub trait Truth {
    /// Truth of a literal.
    fn literal(&mut self, lit: LitId, row: usize) -> bool;

    /// Truth of a tree.
    fn node(&mut self, node: &Node, row: usize) -> bool {
        match node {
            Node::Const(b) => *b,
            Node::Lit(l) => self.literal(*l, row),
            Node::Not(n) => !self.node(n, row),
            Node::All(v) => v.iter().all(|n| self.node(n, row)),
            Node::Any(v) => v.iter().any(|n| self.node(n, row)),
            Node::OnlyOne(v) => eval::exactly_one(v.iter().map(|n| self.node(n, row))),
        }
    }
}

/// Truth of a literal, nothing remembered.
pub fn literal(view: &View, lit: &Literal, row: usize) -> bool {
    match lit {
        Literal::Test(key, test) => match view.get(*key, row) {
            Got::Span(v) => on_value(test, v),
            Got::Json(v) => test.on_json(v.as_deref()),
        },
        Literal::Joined => view.is_joined(row),
        Literal::Compare(left, right, how) => compare(*how, view.get(*left, row), view.get(*right, row)),
        Literal::Elements(key, which, exprs) => match view.get(*key, row) {
            Got::Span(v @ Value::Arr(_)) => eval::elements(*which, exprs, Some(&v.to_json())),
            Got::Span(_) => false,
            Got::Json(v) => eval::elements(*which, exprs, v.as_deref()),
        },
    }
}

/// A test on a span.
pub fn on_value(test: &Predicate, v: Value) -> bool {
    match v {
        Value::Absent => test.on_null(false),
        Value::Null => test.on_null(true),
        Value::Bool(b) => test.on_bool(b),
        Value::Str(s) => test.on_str(s),
        Value::Num(text) if test.reads_numbers() => test.on_num(Num::parse(text)),
        Value::Num(_) => test.on_num(Num::Int(0)),
        Value::Arr(_) if test.reads_lists() => test.on_json(Some(&v.to_json())),
        Value::Arr(raw) if is_blank(raw) => test.on_list(&[]),
        Value::Arr(_) => test.on_list(&[serde_json::Value::Null]),
        Value::Obj(_) if test.reads_objects() => test.on_json(Some(&v.to_json())),
        Value::Obj(raw) => test.on_object(is_blank(raw)),
    }
}

/// True for `[]` and `{}`, space inside allowed.
fn is_blank(raw: &str) -> bool {
    let inner = raw.len().checked_sub(1).and_then(|end| raw.get(1..end)).unwrap_or("");
    inner.bytes().all(|b| b.is_ascii_whitespace())
}

fn compare(how: Comparison, a: Got, b: Got) -> bool {
    if a.is_null() || b.is_null() {
        return false;
    }
    match (how, &a, &b) {
        (Comparison::Equals, Got::Span(Value::Str(x)), Got::Span(Value::Str(y))) => x == y,
        (Comparison::Text(op, false), Got::Span(Value::Str(x)), Got::Span(Value::Str(y))) => op.holds(false, x, y),
        (Comparison::Contains(false), Got::Span(Value::Str(x)), Got::Span(Value::Str(y))) => {
            TextOp::Contains.holds(false, x, y)
        }
        _ => eval::pair(how, &a.to_json(), &b.to_json()),
    }
}
