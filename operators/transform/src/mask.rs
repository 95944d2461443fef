//! `transforms.mask`: hide values of fields from everything behind it (functional spec §1.8 hides at the parser; this
//! hides on one edge of the graph, so that detection may still see what a sink may not).
//!
//! A hidden value is replaced in its column, in columns that contain it, and in whole events. Indicators (`p_any_*`)
//! that may stem from a hidden value are left out. The raw record of an event stays what it was: no sink of this
//! product writes it for an accepted event.
use crate::conceal::{Cover, Relation, may_stem_from, relation};
use crate::reshape::{Layouts, with};
use crate::scope::{Scope, column_of};
use model::event::{FieldType, FullEvent, tag};
use model::operator::{Ctx, Map, Packet};
use model::part::{Flow, Kind, Opened, Port, Sharding};
use model::path::{Path, Seg};
use model::{BuildCx, Built, EventBatch, Files, Layout, Needs, Node, Part, Problem, Result, Spec, Value, raw::PAD};
use serde::Deserialize;
use serde_json::Value as J;
use std::sync::Arc;

/// Fields of one mask at most.
pub const MAX_FIELDS: usize = 1_000;

/// Settings of a mask.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskSettings {
    /// Log types it looks at. Default: every one.
    #[serde(default)]
    pub log_types: Vec<String>,
    /// What to hide.
    pub fields: Vec<MaskField>,
}

/// One path to hide.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskField {
    /// Path of the value: `a.b`, `a[0].b`, `a[*].b`. An object or array is replaced as a whole.
    pub path: String,
    /// How it is hidden.
    #[serde(default)]
    pub with: MaskWith,
    /// With `redact`: the text instead of the value. Default `***`.
    pub to: Option<String>,
    /// With `hash`: put before the value. Keep it secret, else short values can be guessed.
    pub salt: Option<String>,
}

/// How a value is hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaskWith {
    /// A fixed text.
    #[default]
    Redact,
    /// SHA-256 of salt and value, in hex: equal values stay equal.
    Hash,
}

/// The part `transforms.mask`.
pub struct MaskPart;

impl Part for MaskPart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Transform,
            name: "mask",
            doc: "Hides values of fields: a hash or a fixed text instead.",
            inputs: &[Flow::Events],
            outputs: &[Port { name: "", flow: Flow::Events, error: false }],
            sharding: Sharding::Lanes,
        }
    }
    fn schema(&self) -> J {
        schemars::schema_for!(MaskSettings).to_value()
    }
    fn open(&self, _: &str, settings: &J, _: &dyn Files) -> Opened {
        let s = match MaskSettings::deserialize(settings) {
            Ok(s) => s,
            Err(e) => return Opened::failed(vec![Problem::at("", e.to_string())]),
        };
        let mut found = Vec::new();
        if s.fields.is_empty() || s.fields.len() > MAX_FIELDS {
            found.push(Problem::at(
                "fields",
                format!("{} fields to hide, where 1 to {MAX_FIELDS} are possible", s.fields.len()),
            ));
        }
        let each = s.fields.iter().enumerate();
        let hidden = each.filter_map(|(i, f)| f.compile(&format!("fields[{i}]"), &mut found)).collect();
        if !found.is_empty() {
            return Opened::failed(found);
        }
        Opened::ok(MaskNode { scope: Scope::new(&s.log_types), hidden })
    }
}

impl MaskField {
    fn compile(&self, setting: &str, found: &mut Vec<Problem>) -> Option<Hidden> {
        let unused = match self.with {
            MaskWith::Redact if self.salt.is_some() => Some(("salt", "redact")),
            MaskWith::Hash if self.to.is_some() => Some(("to", "hash")),
            _ => None,
        };
        if let Some((field, with)) = unused {
            found.push(Problem::at(&format!("{setting}.{field}"), format!("`{field}` has no meaning with `{with}`")));
        }
        let path = Path::parse(&self.path).map_err(|e| found.push(Problem::at(&format!("{setting}.path"), e))).ok()?;
        if !matches!(path.0.first(), Some(Seg::Key(k)) if !k.starts_with("p_")) {
            let p = Problem::at(&format!("{setting}.path"), "only fields of the event itself can be hidden");
            found.push(p.hint("name the field; indicators that stem from it are left out by themselves"));
            return None;
        }
        let cover = match self.with {
            MaskWith::Redact => Cover::Redact(self.to.clone().unwrap_or_else(|| "***".into())),
            MaskWith::Hash => Cover::Hash(self.salt.clone().unwrap_or_default()),
        };
        Some(Hidden { column: column_of(&path).0, path, cover })
    }
}

/// A path to hide, and the column that holds it.
#[derive(Clone, Debug)]
struct Hidden {
    path: Path,
    column: Path,
    cover: Cover,
}

struct MaskNode {
    scope: Scope,
    hidden: Arc<[Hidden]>,
}

impl Node for MaskNode {
    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        self.hidden.iter().for_each(|h| self.scope.need(&mut needs, &h.column));
        needs
    }
    fn summary(&self) -> String {
        format!("{} fields hidden", self.hidden.len())
    }
    fn build(&self, _: &BuildCx) -> Result<Built> {
        let (scope, hidden) = (self.scope.clone(), self.hidden.clone());
        Ok(Built::Map(Box::new(Running { scope, hidden, layouts: Layouts::default() })))
    }
}

struct Running {
    scope: Scope,
    hidden: Arc<[Hidden]>,
    layouts: Layouts,
}

impl Map for Running {
    fn map(&mut self, input: Packet, cx: &mut Ctx) -> Result<()> {
        let Packet::Events(mut batch) = input else { return Err("mask takes events".into()) };
        if self.scope.has(&batch.layout.log_type) {
            let writes = writes(&batch, &self.hidden);
            let layout = self.layouts.of(&batch.layout, |input| masked_layout(input, &self.hidden));
            let b = Arc::make_mut(&mut batch);
            b.layout = layout;
            cx.count("masked", apply(b, writes)?);
        }
        cx.emit(0, Packet::Events(batch));
        Ok(())
    }
}

fn masked_layout(input: &Arc<Layout>, hidden: &Arc<[Hidden]>) -> Layout {
    let mut fields = input.fields.clone();
    for f in &mut fields {
        // A hidden number or time is text from here on.
        if hidden.iter().any(|h| matches!(&h.path.0[..], [Seg::Key(k)] if *k == f.name)) {
            f.ty = FieldType::String;
        }
    }
    let full = Masked { inner: input.full.clone(), hidden: hidden.clone() };
    with(input, fields, Arc::new(full))
}

/// A new value of a cell: tag and text.
type Write = (usize, u8, String);

/// What has to be written to hide everything, worked out on the values as they came.
fn writes(batch: &EventBatch, hidden: &[Hidden]) -> Vec<Write> {
    let mut out = Vec::new();
    for (slot, path) in batch.layout.slots.iter().enumerate() {
        let touched: Vec<(&Hidden, Relation)> =
            hidden.iter().map(|h| (h, relation(path, &h.path))).filter(|(_, r)| *r != Relation::Apart).collect();
        let indicators = path.root().is_some_and(|r| r.starts_with("p_any_"));
        if touched.is_empty() && !indicators {
            continue;
        }
        for row in 0..batch.len() {
            let v = batch.value(slot as u32, row);
            let new = match indicators {
                true => without_stems(v, || texts(batch, hidden, row)),
                false => rewrite(v, &touched),
            };
            out.extend(new.map(|(tag, text)| (slot * batch.stride + row, tag, text)));
        }
    }
    out
}

fn rewrite(v: Value<'_>, touched: &[(&Hidden, Relation)]) -> Option<(u8, String)> {
    if v != Value::Absent && touched.iter().any(|(_, r)| *r == Relation::Inside) {
        return Some((tag::ABSENT, String::new()));
    }
    if v.is_null() {
        return None;
    }
    if let Some((h, _)) = touched.iter().find(|(_, r)| *r == Relation::Same) {
        return Some((tag::STR, h.cover.text(v.text())));
    }
    let (Value::Obj(text) | Value::Arr(text)) = v else { return None };
    let mut json: J = serde_json::from_str(text).ok()?;
    let mut n = 0;
    for (h, r) in touched {
        if let Relation::Around(rest) = r {
            n += h.cover.json(&mut json, rest, &mut |_| {});
        }
    }
    (n > 0).then(|| (if json.is_array() { tag::ARR } else { tag::OBJ }, json.to_string()))
}

/// An indicator column without what may stem from hidden texts.
fn without_stems(v: Value<'_>, hidden: impl FnOnce() -> Vec<String>) -> Option<(u8, String)> {
    let Value::Arr(text) = v else { return None };
    let list: Vec<String> = serde_json::from_str(text).ok()?;
    let (hidden, n) = (hidden(), list.len());
    let left: Vec<String> = list.into_iter().filter(|s| !may_stem_from(s, &hidden)).collect();
    match left.len() {
        l if l == n => None,
        0 => Some((tag::ABSENT, String::new())),
        _ => Some((tag::ARR, J::from(left).to_string())),
    }
}

/// Texts of the hidden values of a row, from the columns as they came.
fn texts(batch: &EventBatch, hidden: &[Hidden], row: usize) -> Vec<String> {
    let mut out = Vec::new();
    for h in hidden {
        let Some(slot) = batch.layout.slot(&h.column) else { continue };
        let mut v = batch.value(slot, row).to_json();
        h.cover.json(&mut v, &h.path.0[h.column.0.len()..], &mut |s| out.push(s.to_string()));
    }
    out
}

/// Writes the new values behind the batch's bytes; gives their number.
fn apply(batch: &mut EventBatch, writes: Vec<Write>) -> Result<u64> {
    let n = writes.len() as u64;
    if writes.is_empty() {
        return Ok(0);
    }
    let data = Arc::make_mut(&mut batch.data);
    data.truncate(data.len().saturating_sub(PAD));
    for (i, tag, text) in writes {
        let at = u32::try_from(data.len()).map_err(|_| "mask: a batch holds more than 4 GiB")?;
        data.extend_from_slice(text.as_bytes());
        batch.pos[i] = at as u64 | (text.len() as u64) << 32;
        batch.tag[i] = tag;
    }
    data.resize(data.len() + PAD, 0);
    Ok(n)
}

/// Whole events with hidden values.
struct Masked {
    inner: Arc<dyn FullEvent>,
    hidden: Arc<[Hidden]>,
}

impl Masked {
    /// Hides in a whole event; gives the texts that were there. A column that holds the value is already hidden and
    /// says what to write, because an inner view may build its event from the columns.
    fn hide(&self, batch: &EventBatch, row: usize, event: &mut J) -> Vec<String> {
        let mut texts = Vec::new();
        for h in self.hidden.iter() {
            let slot = batch.layout.slot(&h.column);
            match (slot.map(|s| batch.value(s, row)), at_mut(event, &h.column.0)) {
                (_, None) => {}
                (Some(v), Some(place)) if !v.is_null() => {
                    h.cover.json(&mut place.clone(), &h.path.0[h.column.0.len()..], &mut |s| texts.push(s.to_string()));
                    *place = v.to_json();
                }
                (_, Some(place)) => {
                    h.cover.json(place, &h.path.0[h.column.0.len()..], &mut |s| texts.push(s.to_string()));
                }
            }
        }
        texts
    }
}

fn at_mut<'a>(root: &'a mut J, path: &[Seg]) -> Option<&'a mut J> {
    path.iter().try_fold(root, |v, s| match s {
        Seg::Key(k) => v.get_mut(&**k),
        Seg::Index(i) => {
            let a = v.as_array_mut()?;
            let i = if *i < 0 { a.len().checked_sub(i.unsigned_abs() as usize)? } else { *i as usize };
            a.get_mut(i)
        }
        Seg::Each => None,
    })
}

impl FullEvent for Masked {
    fn event(&self, batch: &EventBatch, row: usize) -> serde_json::Map<String, J> {
        let mut event = J::Object(self.inner.event(batch, row));
        let hidden = self.hide(batch, row, &mut event);
        let J::Object(mut event) = event else { return serde_json::Map::new() };
        event.retain(|k, v| match v {
            J::Array(list) if k.starts_with("p_any_") => {
                list.retain(|v| !v.as_str().is_some_and(|s| may_stem_from(s, &hidden)));
                !list.is_empty()
            }
            _ => true,
        });
        event
    }

    fn any(&self, batch: &EventBatch, row: usize, field: &str, out: &mut Vec<String>) {
        let mut found = Vec::new();
        self.inner.any(batch, row, field, &mut found);
        if found.is_empty() {
            return;
        }
        let mut event = J::Object(self.inner.event(batch, row));
        let hidden = self.hide(batch, row, &mut event);
        out.extend(found.into_iter().filter(|s| !may_stem_from(s, &hidden)));
    }

    fn may_have_twin(&self, path: &Path) -> bool {
        self.inner.may_have_twin(path)
    }
}

#[cfg(test)]
mod tests;
