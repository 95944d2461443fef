//! Where a literal lives: the column or join that can say, for all rows at once, whether it may be true.
use super::plan::{LitId, Literal, Plan, Source};
use crate::number::Num;
use model::event::tag;

/// A column or a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Home {
    /// A column of the layout.
    Column(u32),
    /// A join of the plan.
    Join(u32),
}

/// What the type of a column's value says about a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTag {
    /// False.
    No,
    /// True, or may be true.
    Maybe,
    /// The text or number decides.
    Look,
}

/// Home of a literal; `None` if only the whole event or several keys can say.
pub fn home(plan: &Plan, lit: LitId) -> Option<Home> {
    let (Literal::Test(key, _) | Literal::Compare(key, ..) | Literal::Elements(key, ..)) = &plan.literals[lit as usize]
    else {
        return None;
    };
    match plan.source(*key) {
        Source::Column(slot) | Source::Within { slot, .. } => Some(Home::Column(*slot)),
        Source::Join { join, .. } if matches!(plan.literals[lit as usize], Literal::Test(..)) => {
            Some(Home::Join(*join))
        }
        _ => None,
    }
}

/// What a tag says about a literal whose home is the column.
pub fn on_tag(plan: &Plan, lit: LitId, t: u8) -> OnTag {
    let maybe = |b: bool| if b { OnTag::Maybe } else { OnTag::No };
    let container = matches!(t, tag::ARR | tag::OBJ);
    let literal = &plan.literals[lit as usize];
    let (Literal::Test(key, _) | Literal::Compare(key, ..) | Literal::Elements(key, ..)) = literal else {
        return OnTag::Maybe;
    };
    let inside = matches!(plan.source(*key), Source::Within { .. });
    match literal {
        Literal::Joined => OnTag::Maybe,
        Literal::Test(_, test) if inside => maybe(container || test.on_null(false)),
        Literal::Elements(..) if inside => maybe(container),
        Literal::Elements(..) => maybe(t == tag::ARR),
        Literal::Compare(..) if inside => maybe(container),
        Literal::Compare(..) => maybe(!matches!(t, tag::ABSENT | tag::NULL)),
        Literal::Test(_, test) => match t {
            tag::STR if test.reads_texts() => OnTag::Look,
            tag::STR => maybe(test.on_str("")),
            tag::NUM if test.reads_numbers() => OnTag::Look,
            tag::NUM => maybe(test.on_num(Num::Int(0))),
            tag::FALSE => maybe(test.on_bool(false)),
            tag::TRUE => maybe(test.on_bool(true)),
            tag::OBJ => maybe(test.reads_objects() || test.on_object(true) || test.on_object(false)),
            tag::ARR => maybe(test.reads_lists() || test.on_list(&[]) || test.on_list(&[serde_json::Value::Null])),
            tag::NULL => maybe(test.on_null(true)),
            _ => maybe(test.on_null(false)),
        },
    }
}
