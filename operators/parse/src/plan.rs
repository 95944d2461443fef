//! What one topology needs of one log type, compiled: which columns there are and how a record fills them.
//!
//! Slot *i* is top-level field *i* for every field of the schema (their types decide whether a record is of this log
//! type); then come the other paths that somebody needs. For a needed path with `[*]` or a negative index, its longest
//! plain prefix is the slot. Slots behind [`Plan::visible`] hold inputs of transformations and never leave the parser:
//! a masked value has no column with what it was.
use crate::event::concerns;
use crate::filter::{self, Filter, Filters};
use crate::full::Full;
use crate::indicator::Any;
use crate::json::{Trie, Want};
use crate::mask::Mask;
use crate::schema::{Fetch, Field, Kind, Scan, Schema, Source, Spec};
use crate::text::Parser;
use model::event::{Layout, tag};
use model::path::{Path, Seg};
use model::time::TimeFormat;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

/// A compiled plan.
pub struct Plan {
    /// The schema.
    pub schema: Arc<Schema>,
    /// Columns that leave the parser.
    pub layout: Arc<Layout>,
    /// Number of columns that leave the parser.
    pub visible: usize,
    /// Number of columns, hidden ones included.
    pub slots: usize,
    /// JSON: paths to slots.
    pub trie: Trie,
    /// Text: input key to the slots that read it.
    pub keys: Keys,
    /// Bits of [`crate::json::Walked::seen`] that have to be set, and whose they are.
    pub required_bits: u64,
    /// Name of each bit.
    pub required_names: Vec<Arc<str>>,
    /// Slots that must have a value after reading.
    pub required_slots: Vec<(u32, Arc<str>)>,
    /// Slots that must have a value where the object above has one: `(object, value, name)`.
    pub required_below: Vec<(u32, u32, Arc<str>)>,
    /// Fields that `concat` or `split` make and the schema requires.
    pub required_made: Vec<(u32, Arc<str>)>,
    /// Transformations, in order.
    pub steps: Vec<Step>,
    /// Types.
    pub checks: Vec<TypeCheck>,
    /// Of these, by number: the check of each slot that a walk fills ([`NO_CHECK`]: none), and the others.
    pub check_of: Vec<u32>,
    /// See [`Plan::check_of`].
    pub late_checks: Vec<u32>,
    /// Event time candidates, in schema order.
    pub times: Vec<Time>,
    /// Normalised filters.
    pub filters: Filters,
    /// Indicator columns: field and slot.
    pub anys: Vec<(Any, u32)>,
    /// The fields of [`Plan::anys`] as a bit set.
    pub any_fields: u16,
    /// What the indicators are gathered from: slot, path below its value, what to run there.
    pub any_sources: Vec<(u32, Path, Scan)>,
    /// Standard columns: slot, field, path below it.
    pub standard: Vec<(u32, Arc<str>, Vec<Seg>)>,
}

/// A transformation on the slots of one row.
#[derive(Debug)]
pub enum Step {
    /// Join texts.
    Concat {
        /// Inputs.
        from: Vec<u32>,
        /// Between them.
        separator: Arc<str>,
        /// Output.
        to: u32,
    },
    /// Take a part.
    Split {
        /// Input.
        from: u32,
        /// Between the parts.
        separator: Arc<str>,
        /// Which part.
        index: i64,
        /// Output.
        to: u32,
    },
    /// Hide a value.
    Mask {
        /// Input.
        from: u32,
        /// How.
        mask: Mask,
        /// Output.
        to: u32,
    },
    /// Rebuild a container by its schema, then read paths from it.
    Rebuild {
        /// Input.
        from: u32,
        /// Index of the field.
        field: usize,
        /// Output.
        to: u32,
        /// Paths below and their slots.
        below: Vec<(Vec<Seg>, u32)>,
    },
}

/// A type to hold a slot against.
#[derive(Debug)]
pub struct TypeCheck {
    /// The slot.
    pub slot: u32,
    /// Tags with which the value only has to be not empty.
    pub easy: u8,
    /// A top-level field: a fault fails the record. Else the value is kept as it is.
    pub strict: bool,
    /// The type.
    pub spec: Spec,
    /// Name for messages.
    pub name: Arc<str>,
}

/// A candidate for the event time.
#[derive(Debug)]
pub struct Time {
    /// The slot.
    pub slot: u32,
    /// Its format.
    pub format: TimeFormat,
    /// A top-level field: a text that is no time fails the record.
    pub strict: bool,
    /// Name for messages.
    pub name: Arc<str>,
}

/// No number of a check.
pub const NO_CHECK: u32 = u32::MAX;

/// Input keys of a text parser.
#[derive(Debug, Default)]
pub struct Keys {
    /// Number of a key.
    pub number: HashMap<Arc<str>, u32>,
    /// By number: the key and the `(path below, slot)` that read it.
    pub targets: Vec<(Arc<str>, Vec<(Vec<Seg>, u32)>)>,
}

/// The part of a path before the first `[*]` or negative index.
pub fn plain_prefix(path: &Path) -> Path {
    let plain = |s: &&Seg| !matches!(s, Seg::Each) && !matches!(s, Seg::Index(i) if *i < 0);
    Path(path.0.iter().take_while(plain).cloned().collect())
}

impl Plan {
    /// Compile for what everything behind the parser needs.
    pub fn new(schema: &Arc<Schema>, needs: &model::Needs, filters: &[Filter]) -> Plan {
        let mut needs = needs.clone();
        filter::needs(filters, &schema.name, &mut needs);
        let wanted = needs.of(&schema.name);
        let indicators = schema.indicators();
        let times = schema.event_times();
        let slots = visible(schema, &wanted, &indicators, &times);
        let mut b = Builder::new(schema, slots);
        for i in 0..schema.fields.len() {
            b.top(i);
        }
        for slot in schema.fields.len()..b.visible.len() {
            b.path(slot as u32);
        }
        b.required();
        b.times(times);
        b.anys(indicators);
        b.finish(needs.wants_all(&schema.name), filters)
    }
}

/// Slots that leave the parser: the top-level fields, then the other paths in their order.
fn visible(
    schema: &Schema,
    wanted: &BTreeSet<Path>,
    indicators: &[(Path, Scan)],
    times: &[(Path, TimeFormat)],
) -> Vec<Path> {
    let mut more: BTreeSet<Path> = times.iter().map(|(p, _)| p.clone()).collect();
    for p in wanted {
        if let Some(any) = p.root().and_then(Any::parse) {
            let of = indicators.iter().filter(|(_, s)| concerns(s, 1 << any as u16));
            more.extend(of.map(|(p, _)| plain_prefix(p)));
        }
        let prefix = plain_prefix(p);
        if !prefix.0.is_empty() && prefix.root() != Some("p_enrichment") {
            more.insert(prefix);
        }
    }
    let mut out: Vec<Path> = schema.fields.iter().map(|f| Path::key(&f.name)).collect();
    let top: BTreeSet<Path> = out.iter().cloned().collect();
    out.extend(more.into_iter().filter(|p| !top.contains(p)));
    out
}

struct Builder<'a> {
    schema: &'a Arc<Schema>,
    flat: bool,
    visible: Vec<Path>,
    next: u32,
    wants: Vec<Want>,
    required_bits: u64,
    required_names: Vec<Arc<str>>,
    required_slots: Vec<(u32, Arc<str>)>,
    required_below: Vec<(u32, u32, Arc<str>)>,
    required_made: Vec<(u32, Arc<str>)>,
    concats: Vec<Step>,
    splits: Vec<Step>,
    masks: Vec<Step>,
    rebuilds: Vec<Step>,
    checks: Vec<TypeCheck>,
    times: Vec<Time>,
    anys: Vec<(Any, u32)>,
    any_sources: Vec<(u32, Path, Scan)>,
    standard: Vec<(u32, Arc<str>, Vec<Seg>)>,
    /// Unmasked output of a field's `concat`.
    made: HashMap<usize, u32>,
}

impl<'a> Builder<'a> {
    fn new(schema: &'a Arc<Schema>, visible: Vec<Path>) -> Builder<'a> {
        Builder {
            schema,
            flat: matches!(schema.parser, Parser::Text(_)),
            next: visible.len() as u32,
            visible,
            wants: Vec::new(),
            required_bits: 0,
            required_names: Vec::new(),
            required_slots: Vec::new(),
            required_below: Vec::new(),
            required_made: Vec::new(),
            concats: Vec::new(),
            splits: Vec::new(),
            masks: Vec::new(),
            rebuilds: Vec::new(),
            checks: Vec::new(),
            times: Vec::new(),
            anys: Vec::new(),
            any_sources: Vec::new(),
            standard: Vec::new(),
            made: HashMap::new(),
        }
    }

    fn hidden(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// Ask for an input path in a slot.
    fn want(&mut self, path: Path, slot: u32) -> usize {
        self.wants.push(Want { path, slot, allowed: 0, required: None });
        self.wants.len() - 1
    }

    fn hidden_want(&mut self, path: &Path) -> u32 {
        let slot = self.hidden();
        self.want(path.clone(), slot);
        slot
    }

    /// The column of a top-level field.
    fn top(&mut self, i: usize) {
        let schema = self.schema.clone();
        let f = &schema.fields[i];
        let slot = i as u32;
        // Where the value is before a mask or a rebuild.
        let rebuilt = f.spec.rewrites() || (self.flat && f.spec.kind.is_container());
        let first = if f.mask.is_some() || rebuilt { self.hidden() } else { slot };
        match &f.source {
            Source::Key(k) => self.read(Path::key(k), first, f),
            Source::Copy(p) => self.read(p.clone(), first, f),
            Source::Concat(from, separator) => {
                let from = from.iter().filter_map(|f| if let Fetch::Input(p) = f { Some(p) } else { None });
                let from = from.map(|p| self.hidden_want(p)).collect();
                self.concats.push(Step::Concat { from, separator: separator.clone(), to: first });
                self.made.insert(i, first);
                self.make(first, f);
            }
            Source::Split { from, separator, index } => {
                let from = match from {
                    Fetch::Input(p) => self.hidden_want(p),
                    // A field that is split may stand before the one it splits.
                    Fetch::Field(j) => self.concat_of(*j),
                };
                self.splits.push(Step::Split { from, separator: separator.clone(), index: *index, to: first });
                self.make(first, f);
            }
        }
        if let Some(mask) = &f.mask {
            self.masks.push(Step::Mask { from: first, mask: mask.clone(), to: slot });
        }
        if rebuilt {
            self.rebuilds.push(Step::Rebuild { from: first, field: i, to: slot, below: Vec::new() });
        } else if !(f.spec.event_time && matches!(f.spec.kind, Kind::Timestamp(_))) {
            self.check(slot, &f.spec, f.name.clone(), true);
        }
    }

    fn concat_of(&mut self, field: usize) -> u32 {
        if let Some(slot) = self.made.get(&field) {
            return *slot;
        }
        let slot = self.hidden();
        if let Source::Concat(from, separator) = &self.schema.clone().fields[field].source {
            let from = from.iter().filter_map(|f| if let Fetch::Input(p) = f { Some(p) } else { None });
            let from = from.map(|p| self.hidden_want(p)).collect();
            self.concats.push(Step::Concat { from, separator: separator.clone(), to: slot });
        }
        slot
    }

    fn read(&mut self, path: Path, slot: u32, f: &Field) {
        let first = self.want(path, slot);
        f.aliases.iter().skip(1).for_each(|name| _ = self.want(Path::key(name), slot));
        if !f.required {
            return;
        }
        match self.required_names.len() {
            bit @ 0..64 if !self.flat => {
                self.wants[first..].iter_mut().for_each(|w| w.required = Some(bit as u8));
                self.required_bits |= 1 << bit;
                self.required_names.push(f.name.clone());
            }
            _ => self.required_slots.push((slot, f.name.clone())),
        }
    }

    fn make(&mut self, slot: u32, f: &Field) {
        if f.required {
            self.required_made.push((slot, f.name.clone()));
        }
    }

    fn check(&mut self, slot: u32, spec: &Spec, name: Arc<str>, strict: bool) {
        let set = |tags: &[u8]| tags.iter().fold(0u8, |m, t| m | 1 << t);
        let easy = match spec.kind {
            Kind::String if spec.validate.is_none() => set(&[tag::STR]),
            Kind::Boolean => set(&[tag::TRUE, tag::FALSE]),
            Kind::Float => set(&[tag::NUM]),
            Kind::Object(_) => set(&[tag::OBJ]),
            Kind::Array(_) => set(&[tag::ARR]),
            Kind::Json => set(&[tag::STR, tag::NUM, tag::TRUE, tag::FALSE, tag::OBJ, tag::ARR]),
            _ => 0,
        };
        // The kind alone is looked at; its nested fields are not needed again.
        let kind = match &spec.kind {
            Kind::Object(_) => Kind::Object(Vec::new()),
            Kind::Array(_) => Kind::Array(Box::new(Spec::of(Kind::Json))),
            k => k.clone(),
        };
        let spec = Spec { kind, validate: spec.validate.clone(), ..Spec::of(Kind::Json) };
        self.checks.push(TypeCheck { slot, easy, strict, spec, name });
    }

    /// The column of a path below a field, or of a standard field.
    fn path(&mut self, slot: u32) {
        let path = self.visible[slot as usize].clone();
        let Some(root) = path.root() else { return };
        let below = &path.0[1..];
        let Some(i) = self.schema.field(root) else {
            if root.starts_with("p_") && Any::parse(root).is_none() {
                self.standard.push((slot, root.into(), below.to_vec()));
            }
            return;
        };
        let schema = self.schema.clone();
        let f = &schema.fields[i];
        let Some(spec) = f.spec.at(below) else { return };
        for step in &mut self.rebuilds {
            if let Step::Rebuild { field, below: list, .. } = step
                && *field == i
            {
                list.push((below.to_vec(), slot));
                return;
            }
        }
        let from = match &f.source {
            Source::Key(k) => Path::key(k),
            Source::Copy(p) => p.clone(),
            Source::Concat(..) | Source::Split { .. } => return,
        };
        if f.mask.is_some() {
            return;
        }
        self.want(Path(from.0.into_iter().chain(below.iter().cloned()).collect()), slot);
        if !inside_json(&f.spec, below) {
            self.check(slot, spec, path.to_string().into(), false);
        }
    }

    /// Required fields of the objects below top-level fields.
    fn required(&mut self) {
        let schema = self.schema.clone();
        for (i, f) in schema.fields.iter().enumerate() {
            let rebuilt = self.rebuilds.iter().any(|s| matches!(s, Step::Rebuild { field, .. } if *field == i));
            let from = match &f.source {
                Source::Key(k) => Path::key(k),
                Source::Copy(p) => p.clone(),
                _ => continue,
            };
            if !rebuilt {
                self.required_in(&f.spec, from, i as u32, &f.name);
            }
        }
    }

    fn required_in(&mut self, spec: &Spec, at: Path, slot: u32, name: &str) {
        let Kind::Object(fields) = &spec.kind else { return };
        for f in fields {
            let mut path = at.clone();
            path.0.push(Seg::Key(f.name.clone()));
            let name: Arc<str> = format!("{name}.{}", f.name).into();
            let deeper = has_required(&f.spec);
            if !f.required && !deeper {
                continue;
            }
            let own = self.hidden_want(&path);
            if f.required {
                self.required_below.push((slot, own, name.clone()));
            }
            self.required_in(&f.spec, path, own, &name);
        }
    }

    fn slot(&self, path: &Path) -> Option<u32> {
        self.visible.iter().position(|p| p == path).map(|i| i as u32)
    }

    fn times(&mut self, times: Vec<(Path, TimeFormat)>) {
        for (path, format) in times {
            if let Some(slot) = self.slot(&path) {
                let strict = path.0.len() == 1;
                self.times.push(Time { slot, format, strict, name: path.to_string().into() });
            }
        }
    }

    fn anys(&mut self, indicators: Vec<(Path, Scan)>) {
        for slot in 0..self.visible.len() {
            if let [Seg::Key(name)] = &self.visible[slot].0[..]
                && let Some(any) = Any::parse(name)
            {
                self.anys.push((any, slot as u32));
            }
        }
        let only = self.any_fields();
        for (path, scan) in indicators.into_iter().filter(|(_, s)| concerns(s, only)) {
            let prefix = plain_prefix(&path);
            let below = Path(path.0[prefix.0.len()..].to_vec());
            if let Some(slot) = self.slot(&prefix) {
                self.any_sources.push((slot, below, scan));
            }
        }
    }

    fn any_fields(&self) -> u16 {
        self.anys.iter().fold(0, |m, (any, _)| m | 1 << *any as u16)
    }

    fn finish(self, all: bool, filters: &[Filter]) -> Plan {
        let any_fields = self.any_fields();
        let schema = self.schema.clone();
        let layout = Layout {
            log_type: schema.name.clone(),
            table: schema.table(),
            version: schema.revision,
            index: self.visible.iter().cloned().zip(0..).collect(),
            fields: if all { schema.event_fields() } else { Vec::new() },
            full: Arc::new(Full::new(schema.clone())),
            slots: self.visible,
        };
        let mut keys = Keys::default();
        if self.flat {
            for w in &self.wants {
                let Some(root) = w.path.root() else { continue };
                let root: Arc<str> = root.into();
                let n = *keys.number.entry(root.clone()).or_insert_with(|| {
                    keys.targets.push((root, Vec::new()));
                    keys.targets.len() as u32 - 1
                });
                keys.targets[n as usize].1.push((w.path.0[1..].to_vec(), w.slot));
            }
        }
        let steps = self.concats.into_iter().chain(self.splits).chain(self.masks).chain(self.rebuilds).collect();
        let mut trie = if self.flat { Trie::compile(&[]) } else { Trie::inlined(&self.wants, &schema.inline) };
        let (mut check_of, mut late_checks) = (vec![NO_CHECK; self.next as usize], Vec::new());
        for (n, check) in self.checks.iter().zip(0u32..).map(|(c, n)| (n, c)) {
            match trie.slots().binary_search(&check.slot) {
                Ok(_) => {
                    check_of[check.slot as usize] = n;
                    trie.expect(check.slot, check.easy);
                }
                Err(_) => late_checks.push(n),
            }
        }
        Plan {
            visible: layout.slots.len(),
            slots: self.next as usize,
            trie,
            check_of,
            late_checks,
            keys,
            required_bits: self.required_bits,
            required_names: self.required_names,
            required_slots: self.required_slots,
            required_below: self.required_below,
            required_made: self.required_made,
            steps,
            checks: self.checks,
            times: self.times,
            filters: Filters::new(filters, &schema.name, &|p| layout.slot(p)),
            any_fields,
            anys: self.anys,
            any_sources: self.any_sources,
            standard: self.standard,
            layout: Arc::new(layout),
            schema,
        }
    }
}

fn has_required(spec: &Spec) -> bool {
    match &spec.kind {
        Kind::Object(fields) => fields.iter().any(|f| f.required || has_required(&f.spec)),
        _ => false,
    }
}

/// True if the path leads through free JSON, where values stay as they are.
fn inside_json(spec: &Spec, path: &[Seg]) -> bool {
    (0..path.len()).any(|n| spec.at(&path[..n]).is_some_and(|s| matches!(s.kind, Kind::Json)))
}
