//! State of keyed operators in snapshots: groups as a whole, and what changed in them since.
//!
//! A snapshot's cost follows what changed, not what exists: a large group is written as a whole once, then its changes,
//! object by object, until those have come to about as much as the whole. What is read at a start stays below 2.5 times
//! the state that way. The manifest says which objects a group is read from ([`NodeState`]).
use crate::board::Report;
use model::store::{NodeState, ObjectRef, Piece, Store};
use model::{Epoch, Keyed};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most objects in a row with changes of a group: each is kept for as long as one group names it.
const CHAIN_MAX: u32 = 64;

/// Where a keyed operator's state is kept and how it is called there.
pub(crate) struct Keep {
    pub store: Arc<dyn Store>,
    pub state_key: String,
    pub generation: u64,
    /// See [`crate::Settings::whole_below`].
    pub whole_below: u64,
    /// State at the start, if it is carried over.
    pub state: NodeState,
}

/// The objects that a group's state is read from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chain {
    whole: u64,
    changes: u64,
    links: u32,
}

impl Chain {
    fn bytes(&self) -> u64 {
        self.whole + self.changes
    }
    /// True if only what changed in this group should be written. The whole is written again when the changes come to
    /// between a half and one and a half of it: another share in every group, so that they do not all do that in one
    /// snapshot.
    fn may_grow(&self, group: u32, whole_below: u64) -> bool {
        let share = 32 + (group.wrapping_mul(0x9e37_79b1) >> 26) as u64;
        self.bytes() > whole_below && self.links < CHAIN_MAX && self.changes < self.whole * share / 64
    }
    fn wrote(&mut self, piece: Piece, len: u64) {
        match piece {
            Piece::Nothing => *self = Chain::default(),
            Piece::Whole => *self = Chain { whole: len, ..Chain::default() },
            Piece::Changes => (self.changes, self.links) = (self.changes + len, self.links + 1),
        }
    }
}

/// Bytes of state in objects, of all groups.
pub(crate) fn bytes(chains: &BTreeMap<u32, Chain>) -> u64 {
    chains.values().map(Chain::bytes).sum()
}

/// Write what changed in this worker's groups as one object: `(group u32, length u32, bytes)*`.
pub(crate) fn save(
    op: &mut dyn Keyed,
    id: &str,
    keep: &Keep,
    epoch: Epoch,
    me: u32,
    chains: &mut BTreeMap<u32, Chain>,
) -> model::Result<Report> {
    let mut groups = op.take_dirty();
    if model::fault::broken("skip_state") {
        groups.clear();
    }
    groups.sort_unstable();
    groups.dedup();
    let (mut bytes, mut pieces) = (Vec::new(), Vec::with_capacity(groups.len()));
    for g in groups {
        let chain = chains.entry(g).or_default();
        let changes = if chain.may_grow(g, keep.whole_below) { op.changes(g) } else { None };
        let (piece, state) = match changes {
            Some(changes) => (Piece::Changes, changes),
            None => match op.save(g) {
                none if none.is_empty() => (Piece::Nothing, none),
                whole => (Piece::Whole, whole),
            },
        };
        chain.wrote(piece, state.len() as u64);
        pieces.push((g, piece));
        if piece != Piece::Nothing {
            bytes.extend_from_slice(&g.to_le_bytes());
            bytes.extend_from_slice(&(state.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&state);
        }
    }
    let object = match bytes.is_empty() {
        true => None,
        false => Some(keep.store.put(&format!("{id}/{epoch:020}-g{}-w{me}", keep.generation), &bytes)?),
    };
    Ok(Report::State { node: id.into(), state_key: keep.state_key.clone(), object, pieces })
}

/// Load the groups that this worker owns, object by object, the oldest first.
pub(crate) fn load(op: &mut dyn Keyed, keep: &Keep, me: u32, peers: u32) -> model::Result<BTreeMap<u32, Chain>> {
    let mut chains: BTreeMap<u32, Chain> = BTreeMap::new();
    for (i, object) in keep.state.objects.iter().enumerate() {
        let mine = keep.state.groups.iter().filter(|(g, _)| *g % peers == me);
        let wanted: Vec<u32> = mine.filter(|(_, chain)| chain.contains(&(i as u32))).map(|(g, _)| *g).collect();
        if wanted.is_empty() {
            continue;
        }
        let bytes = keep.store.get(object)?;
        let held = unpack(&bytes, object)?;
        for g in wanted {
            let state = held.get(&g).ok_or_else(|| format!("object {} holds no group {g}", object.name))?;
            let piece = if chains.contains_key(&g) { Piece::Changes } else { Piece::Whole };
            match piece {
                Piece::Changes => op.apply(g, state),
                _ => op.load(g, state),
            }?;
            chains.entry(g).or_default().wrote(piece, state.len() as u64);
        }
    }
    if let Some(g) = keep.state.groups.keys().find(|g| *g % peers == me && !chains.contains_key(g)) {
        return Err(format!("the snapshot names no object for group {g}").into());
    }
    op.take_dirty();
    Ok(chains)
}

fn unpack<'a>(mut bytes: &'a [u8], object: &ObjectRef) -> model::Result<BTreeMap<u32, &'a [u8]>> {
    let mut out = BTreeMap::new();
    while !bytes.is_empty() {
        let torn = || format!("object {} is not well-formed", object.name);
        let (head, rest) = bytes.split_at_checked(8).ok_or_else(torn)?;
        let group = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (state, rest) = rest.split_at_checked(len).ok_or_else(torn)?;
        out.insert(group, state);
        bytes = rest;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_bounded_by_its_size_and_its_length() {
        let written = |group: u32, whole: u64, change: u64| {
            let mut chain = Chain::default();
            assert!(!chain.may_grow(group, 0), "nothing was written yet");
            chain.wrote(Piece::Whole, whole);
            while chain.may_grow(group, 1_000) {
                chain.wrote(Piece::Changes, change);
            }
            chain
        };
        assert_eq!(written(1, 1_000, 1).links, 0, "small state is written as a whole");
        assert_eq!(written(1, 1_000_000, 1).links, CHAIN_MAX);
        let all: Vec<u64> = (0..1_000).map(|g| written(g, 1_000_000, 25_000).changes).collect();
        assert!(all.iter().all(|c| (500_000..1_550_000).contains(c)), "{all:?}");
        let most = (0..64).map(|n| all.iter().filter(|c| **c / 25_000 == n).count()).max();
        assert!(most < Some(60), "they do not meet in one snapshot: {most:?} of 1000");
    }
}
