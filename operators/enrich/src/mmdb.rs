//! Tables in MaxMind's format: a tree of address blocks over shared records.
//!
//! The tree is turned into the same index as any other table of blocks, and each distinct record into one row, so that
//! rows are immutable and a lookup does not decode anything.
use crate::builder::{Builder, json_cell};
use crate::cidr::{Block, CidrIndex};
use crate::load::flatten;
use crate::spec::{Matching, TableSpec};
use crate::table::{Index, Table};
use model::Problem;
use serde_json::Value as J;
use std::collections::HashMap;
use std::sync::Arc;

/// Blocks of one table at most.
pub const MAX_BLOCKS: usize = 50_000_000;

/// Loads an MMDB file.
pub fn load(spec: &TableSpec, bytes: &[u8], found: &mut Vec<Problem>) -> Option<Table> {
    if spec.matching == Matching::Exact && spec.key.is_some() {
        let p =
            spec.problem("key", format!("`{}` is matched by address block: `key` has no meaning for it", spec.file));
        found.push(p.hint("leave `key` and `match` out for .mmdb files").warn());
    }
    if spec.expires.is_some() {
        let p = spec.problem("expires", "rows of .mmdb files do not expire");
        found.push(p.hint("leave `expires` out").warn());
    }
    match read(spec, bytes) {
        Ok(table) => Some(table),
        Err(e) => {
            let p = spec.problem("file", format!("`{}` is not a usable MMDB file: {e}", spec.file));
            found.push(p.hint("download the file again, and take the .mmdb itself, not its archive"));
            None
        }
    }
}

fn read(spec: &TableSpec, bytes: &[u8]) -> Result<Table, String> {
    let reader = maxminddb::Reader::from_source(bytes).map_err(|e| e.to_string())?;
    let mut builder = Builder::new(&spec.name);
    // Row of a record, by the place of the record in the file.
    let mut rows: HashMap<usize, u32> = HashMap::new();
    let mut blocks = Vec::new();
    for item in reader.networks(maxminddb::WithinOptions::default()).map_err(|e| e.to_string())? {
        let item = item.map_err(|e| e.to_string())?;
        let Some(offset) = item.offset() else { continue };
        let net = item.network().map_err(|e| e.to_string())?;
        let row = match rows.get(&offset) {
            Some(row) => *row,
            None => {
                let record: Option<J> = item.decode().map_err(|e| format!("record of {net}: {e}"))?;
                let row = add(&mut builder, record.as_ref()).map_err(|e| format!("record of {net}: {e}"))?;
                rows.insert(offset, row);
                row
            }
        };
        let block = Block::new(net.ip(), net.prefix()).ok_or_else(|| format!("{net} is not a block"))?;
        if blocks.len() == MAX_BLOCKS {
            return Err(format!("a table holds at most {MAX_BLOCKS} blocks"));
        }
        blocks.push((block, row));
    }
    let (index, _) = CidrIndex::build(blocks);
    Ok(Table { data: Arc::new(builder.finish()), index: Index::Cidr(index), expires: Vec::new() })
}

fn add(builder: &mut Builder, record: Option<&J>) -> Result<u32, String> {
    let Some(J::Object(o)) = record else { return Err("it is not a map".into()) };
    let mut cells = std::collections::BTreeMap::new();
    flatten("", o, &mut |name, value| {
        cells.insert(builder.column(name), json_cell(value));
        Ok(())
    })?;
    builder.row(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::spec;
    use serde_json::json;

    /// Writes a minimal MMDB file with an IPv6 tree of 32-bit records.
    fn write(blocks: &[(&str, J)]) -> Vec<u8> {
        const NODE: usize = usize::MAX;
        let mut nodes: Vec<[usize; 2]> = vec![[NODE; 2]];
        let mut leaf: HashMap<(usize, usize), usize> = HashMap::new();
        let (mut data, mut offsets): (Vec<u8>, HashMap<String, usize>) = (Vec::new(), HashMap::new());
        for (text, record) in blocks {
            let block = Block::parse(text).unwrap();
            let len = block.len as usize + if block.v6 { 0 } else { 96 };
            let offset = *offsets.entry(record.to_string()).or_insert_with(|| {
                let at = data.len();
                encode(record, &mut data);
                at
            });
            let mut at = 0;
            for i in 0..len {
                let bit = (block.start >> (127 - i) & 1) as usize;
                if i + 1 == len {
                    leaf.insert((at, bit), offset);
                } else if nodes[at][bit] == NODE {
                    nodes.push([NODE; 2]);
                    nodes[at][bit] = nodes.len() - 1;
                    at = nodes.len() - 1;
                } else {
                    at = nodes[at][bit];
                }
            }
        }
        let count = nodes.len();
        let mut out = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            for (bit, child) in node.iter().enumerate() {
                let value = match leaf.get(&(i, bit)) {
                    Some(offset) => count + 16 + offset,
                    None if *child == NODE => count,
                    None => *child,
                };
                out.extend_from_slice(&(value as u32).to_be_bytes());
            }
        }
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(&data);
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let number = |ty: u8, size: usize, n: u64, out: &mut Vec<u8>| {
            control(ty, size, out);
            out.extend_from_slice(&n.to_be_bytes()[8 - size..]);
        };
        control(7, 9, &mut out);
        for (name, ty, size, n) in [
            ("binary_format_major_version", 5, 2, 2),
            ("binary_format_minor_version", 5, 2, 0),
            ("build_epoch", 9, 8, 1),
            ("ip_version", 5, 2, 6),
            ("node_count", 6, 4, count as u64),
            ("record_size", 5, 2, 32),
        ] {
            encode(&json!(name), &mut out);
            number(ty, size, n, &mut out);
        }
        for (name, v) in [("database_type", json!("Test")), ("description", json!({})), ("languages", json!([]))] {
            encode(&json!(name), &mut out);
            encode(&v, &mut out);
        }
        out
    }

    fn control(ty: u8, size: usize, out: &mut Vec<u8>) {
        assert!(size < 285);
        let low = size.min(29) as u8;
        let (first, extended) = if ty <= 7 { (ty << 5 | low, None) } else { (low, Some(ty - 7)) };
        out.push(first);
        out.extend(extended);
        if size >= 29 {
            out.push((size - 29) as u8);
        }
    }

    fn encode(v: &J, out: &mut Vec<u8>) {
        match v {
            J::Object(o) => {
                control(7, o.len(), out);
                for (k, v) in o {
                    encode(&json!(k), out);
                    encode(v, out);
                }
            }
            J::Array(a) => {
                control(11, a.len(), out);
                a.iter().for_each(|v| encode(v, out));
            }
            J::String(s) => {
                control(2, s.len(), out);
                out.extend_from_slice(s.as_bytes());
            }
            J::Bool(b) => control(14, *b as usize, out),
            J::Number(n) if n.is_u64() => {
                let n = n.as_u64().unwrap() as u32;
                control(6, 4, out);
                out.extend_from_slice(&n.to_be_bytes());
            }
            J::Number(n) => {
                control(3, 8, out);
                out.extend_from_slice(&n.as_f64().unwrap().to_be_bytes());
            }
            J::Null => panic!("MMDB has no null"),
        }
    }

    #[test]
    fn blocks_of_both_families_share_rows() {
        let de = json!({ "country": { "iso_code": "DE" }, "location": { "lat": 52.5 }, "tags": ["a"], "eu": true });
        let us = json!({ "country": { "iso_code": "US" }, "asn": 64512 });
        let bytes = write(&[("10.0.0.0/8", de.clone()), ("192.168.1.0/24", us.clone()), ("2001:db8::/32", de.clone())]);
        let mut found = Vec::new();
        let table = load(&spec("geo.mmdb", None, Matching::Cidr), &bytes, &mut found);
        assert!(found.is_empty(), "{found:?}");
        let table = table.unwrap();
        assert_eq!(table.data.rows, 2);
        let row = |ip: &str| table.find(ip, 0).map(|r| J::Object(table.data.row_json(r)));
        assert_eq!(row("10.200.0.1"), Some(de.clone()));
        assert_eq!(row("2001:db8:1::1"), Some(de));
        assert_eq!(row("192.168.1.77"), Some(us));
        assert_eq!(row("192.168.2.1"), None);
        assert_eq!(row("2001:db9::1"), None);
        let city = table.data.column("country.iso_code").unwrap();
        assert_eq!(table.data.value(city, table.find("10.0.0.1", 0).unwrap()).text(), "DE");
    }

    #[test]
    fn a_wrong_file_is_an_error_with_its_name() {
        for bytes in [&b"not an mmdb"[..], &write(&[("10.0.0.0/8", json!("text"))])] {
            let mut found = Vec::new();
            assert!(load(&spec("geo.mmdb", None, Matching::Cidr), bytes, &mut found).is_none());
            assert!(found[0].message.contains("geo.mmdb") && !found[0].warning, "{found:?}");
        }
    }
}
