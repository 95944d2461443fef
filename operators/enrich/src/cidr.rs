//! Address blocks: the most specific block that holds an address.
//!
//! Nested blocks are flattened into disjoint ranges, sorted by their start, each pointing to its most specific block;
//! a lookup is one binary search (IPv4: inside the few ranges of its /16), whatever the number of prefix lengths. A
//! block knows the block around it, so that a search can go on outwards when a row has expired. IPv6 forms of IPv4
//! addresses (`::ffff:1.2.3.4`) are IPv4 addresses.
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

const NONE: u32 = u32::MAX;

/// A block of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// True for IPv6.
    pub v6: bool,
    /// First address.
    pub start: u128,
    /// Prefix length, 0-32 or 0-128.
    pub len: u8,
}

impl Block {
    /// From an address and a prefix length; host bits are cut.
    pub fn new(ip: IpAddr, len: u8) -> Option<Block> {
        let block = match ip {
            IpAddr::V4(a) if len <= 32 => Block { v6: false, start: a.to_bits() as u128, len },
            IpAddr::V6(a) => match a.to_ipv4_mapped() {
                Some(a) if len >= 96 => Block { v6: false, start: a.to_bits() as u128, len: len.checked_sub(96)? },
                _ if len <= 128 => Block { v6: true, start: a.to_bits(), len },
                _ => return None,
            },
            _ => return None,
        };
        (block.len <= block.bits()).then(|| Block { start: block.start & !block.hosts(), ..block })
    }
    /// From `10.0.0.0/8`, or an address, which is a block of one.
    pub fn parse(text: &str) -> Option<Block> {
        let text = text.trim();
        match text.parse::<IpNet>() {
            Ok(net) => Block::new(net.addr(), net.prefix_len()),
            Err(_) => {
                let ip: IpAddr = text.parse().ok()?;
                Block::new(ip, if ip.is_ipv4() { 32 } else { 128 })
            }
        }
    }
    fn bits(&self) -> u8 {
        if self.v6 { 128 } else { 32 }
    }
    /// Bits behind the prefix.
    fn hosts(&self) -> u128 {
        u128::MAX.checked_shr(128 - (self.bits() - self.len) as u32).unwrap_or(0)
    }
    fn end(&self) -> u128 {
        self.start | self.hosts()
    }
}

#[derive(Clone, Copy)]
struct Leaf {
    row: u32,
    /// The block around it.
    parent: u32,
}

struct Ranges<T> {
    starts: Vec<T>,
    leaves: Vec<u32>,
}

/// Block → row.
pub struct CidrIndex {
    leaves: Vec<Leaf>,
    v4: Ranges<u32>,
    /// First range of `v4` that starts in or behind each /16, with the one that runs into it one before.
    top: Vec<u32>,
    v6: Ranges<u128>,
}

impl CidrIndex {
    /// From `(block, row)`; of equal blocks the last wins. The second result are the rows that lost.
    pub fn build(blocks: Vec<(Block, u32)>) -> (CidrIndex, Vec<u32>) {
        let mut all = blocks;
        all.sort_by_key(|(b, _)| *b);
        let mut lost = Vec::new();
        all.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same && later.1 != kept.1 {
                lost.push(std::mem::replace(&mut kept.1, later.1));
            }
            same
        });
        let mut leaves = Vec::with_capacity(all.len());
        let split = all.partition_point(|(b, _)| !b.v6);
        let (starts, of) = flatten(&all[..split], u32::MAX as u128, &mut leaves);
        let v4 = Ranges { starts: starts.into_iter().map(|s| s as u32).collect::<Vec<u32>>(), leaves: of };
        let (starts, of) = flatten(&all[split..], u128::MAX, &mut leaves);
        let v6 = Ranges { starts, leaves: of };
        let mut top = Vec::with_capacity(0x1_0001);
        let mut i = 0;
        for high in 0..=0x1_0000u64 {
            while i < v4.starts.len() && (v4.starts[i] as u64) < high << 16 {
                i += 1;
            }
            top.push(i as u32);
        }
        (CidrIndex { leaves, v4, top, v6 }, lost)
    }

    /// The first row, from the most specific block outwards, that `valid` takes.
    pub fn find(&self, address: &str, valid: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = match address.trim().parse::<IpAddr>().ok()? {
            IpAddr::V4(a) => self.v4(a.to_bits()),
            IpAddr::V6(a) => match a.to_ipv4_mapped() {
                Some(a) => self.v4(a.to_bits()),
                None => self.v6(a),
            },
        };
        while at != NONE {
            let leaf = self.leaves[at as usize];
            if valid(leaf.row) {
                return Some(leaf.row);
            }
            at = leaf.parent;
        }
        None
    }

    fn v4(&self, a: u32) -> u32 {
        let high = (a >> 16) as usize;
        let (from, to) = (self.top[high] as usize, self.top[high + 1] as usize);
        let i = from + self.v4.starts[from..to].partition_point(|s| *s <= a);
        i.checked_sub(1).map_or(NONE, |i| self.v4.leaves[i])
    }

    fn v6(&self, a: Ipv6Addr) -> u32 {
        let a = a.to_bits();
        let i = self.v6.starts.partition_point(|s| *s <= a);
        i.checked_sub(1).map_or(NONE, |i| self.v6.leaves[i])
    }
}

/// Disjoint ranges of sorted, distinct blocks: starts and the leaf of each (or `NONE` for a gap).
fn flatten(blocks: &[(Block, u32)], max: u128, leaves: &mut Vec<Leaf>) -> (Vec<u128>, Vec<u32>) {
    let (mut starts, mut of): (Vec<u128>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut emit = |start: u128, leaf: u32| {
        if starts.last() == Some(&start) {
            if let Some(last) = of.last_mut() {
                *last = leaf;
            }
        } else {
            starts.push(start);
            of.push(leaf);
        }
    };
    // Blocks around the current place, outermost first. Blocks nest or are apart, never overlap halfway.
    let mut around: Vec<(u128, u32)> = Vec::new();
    let outer = |around: &[(u128, u32)]| around.last().map_or(NONE, |(_, leaf)| *leaf);
    for (block, row) in blocks {
        while let Some((end, _)) = around.last().copied()
            && end < block.start
        {
            around.pop();
            emit(end + 1, outer(&around));
        }
        let leaf = leaves.len() as u32;
        leaves.push(Leaf { row: *row, parent: outer(&around) });
        emit(block.start, leaf);
        around.push((block.end(), leaf));
    }
    while let Some((end, _)) = around.pop() {
        if end < max {
            emit(end + 1, outer(&around));
        }
    }
    (starts, of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn naive(blocks: &[(IpNet, u32)], ip: IpAddr, valid: impl Fn(u32) -> bool) -> Option<u32> {
        let mut best: Option<(u8, u32)> = None;
        for (net, row) in blocks {
            if net.contains(&ip) && best.is_none_or(|(len, _)| net.prefix_len() >= len) {
                // Of equal blocks the last row stands for all of them, valid or not.
                let last = blocks.iter().rev().find(|(n, _)| n.trunc() == net.trunc()).unwrap().1;
                if valid(last) && last == *row {
                    best = Some((net.prefix_len(), *row));
                }
            }
        }
        best.map(|(_, row)| row)
    }

    /// Addresses that crowd in a few corners, so that blocks nest and touch.
    fn address() -> impl Strategy<Value = IpAddr> {
        let corner = prop_oneof![Just(0u32), Just(u32::MAX), Just(0x0a00_0000), Just(0x0aff_ffff), any::<u32>()];
        (corner, 0u32..600, any::<bool>(), any::<bool>()).prop_map(|(c, d, v6, up)| {
            let low = if up { c.wrapping_add(d) } else { c.wrapping_sub(d) };
            match v6 {
                false => IpAddr::V4(Ipv4Addr::from_bits(low)),
                true if c == 0 => IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | low as u128)),
                true => IpAddr::V6(Ipv6Addr::from_bits((low as u128) << 96 | (u128::MAX >> 32))),
            }
        })
    }

    proptest! {
        #[test]
        fn agrees_with_trying_every_block(
            list in prop::collection::vec((address(), 0u8..=128), 0..60),
            asked in prop::collection::vec(address(), 1..60),
            invalid in 0u32..7,
        ) {
            let nets: Vec<(IpNet, u32)> = list.iter().enumerate().map(|(row, (ip, len))| {
                let len = if ip.is_ipv4() { len % 33 } else { *len };
                (IpNet::new(*ip, len).unwrap(), row as u32)
            }).collect();
            let blocks = nets.iter().map(|(n, row)| (Block::parse(&n.to_string()).unwrap(), *row)).collect();
            let (index, _) = CidrIndex::build(blocks);
            let valid = |row: u32| invalid == 0 || row % 7 != invalid;
            for ip in asked.iter().chain(list.iter().map(|(ip, _)| ip)) {
                prop_assert_eq!(index.find(&ip.to_string(), valid), naive(&nets, *ip, valid), "{}", ip);
            }
        }
    }

    #[test]
    fn reads_blocks_and_addresses() {
        assert_eq!(Block::parse(" 10.1.2.3/8 "), Block::parse("10.0.0.0/8"));
        assert_eq!(Block::parse("::ffff:10.0.0.0/104"), Block::parse("10.0.0.0/8"));
        assert_eq!(Block::parse("10.0.0.1"), Block::parse("10.0.0.1/32"));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "host", "2001:db8::/129"] {
            assert_eq!(Block::parse(bad), None, "{bad}");
        }
        let (index, lost) = CidrIndex::build(vec![
            (Block::parse("10.0.0.0/8").unwrap(), 1),
            (Block::parse("10.0.0.0/8").unwrap(), 2),
            (Block::parse("0.0.0.0/0").unwrap(), 3),
        ]);
        assert_eq!(lost, [1]);
        assert_eq!(index.find("::ffff:10.9.9.9", |_| true), Some(2));
        assert_eq!(index.find("10.9.9.9", |row| row != 2), Some(3));
        assert_eq!(index.find("255.255.255.255", |_| true), Some(3));
        assert_eq!(index.find("not an address", |_| true), None);
    }
}
