//! `--offsets`: the part of Kafka partitions that a replay reads.
use anyhow::{Context, Result, bail};
use model::Split;
use std::collections::BTreeMap;

/// Ranges by topic and partition. None: everything.
#[derive(Debug, Default, PartialEq)]
pub struct Offsets(BTreeMap<(String, u32), (u64, u64)>);

impl Offsets {
    /// From `topic:partition=from..to`, each.
    pub fn parse(all: &[String]) -> Result<Offsets> {
        let mut out = BTreeMap::new();
        for text in all {
            let read = || {
                let (place, range) = text.rsplit_once('=')?;
                let (topic, partition) = place.rsplit_once(':')?;
                let (from, to) = range.split_once("..")?;
                let number = |t: &str, otherwise| if t.is_empty() { Some(otherwise) } else { t.parse().ok() };
                Some(((topic.to_string(), partition.parse().ok()?), (number(from, 0)?, number(to, u64::MAX)?)))
            };
            let (place, range) = read().with_context(|| {
                format!("--offsets `{text}`: write TOPIC:PARTITION=FROM..TO, such as orders:0=100..250")
            })?;
            if range.0 >= range.1 {
                bail!("--offsets `{text}`: there is no offset from {} to {}", range.0, range.1);
            }
            if out.insert(place, range).is_some() {
                bail!("--offsets `{text}`: this partition is named twice");
            }
        }
        Ok(Offsets(out))
    }

    /// Where reading starts, as the Kafka source's `start_offsets`.
    pub fn starts(&self) -> BTreeMap<String, u64> {
        let named = self.0.iter().filter(|(_, (from, _))| *from > 0);
        named.map(|((topic, partition), (from, _))| (format!("{topic}:{partition}"), *from)).collect()
    }

    /// What of a split is read; nothing: it is passed over.
    pub fn clip(&self, mut split: Split) -> Option<Split> {
        if self.0.is_empty() {
            return Some(split);
        }
        let (topic, partition) = split.name.strip_suffix(']')?.rsplit_once('[')?;
        let (from, to) = self.0.get(&(topic.into(), partition.parse().ok()?))?;
        (split.from, split.to) = (split.from.max(*from), split.to.min(*to));
        (split.from < split.to).then_some(split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(name: &str, from: u64, to: u64) -> Split {
        let detail = serde_json::Value::Null;
        Split { source: "s".into(), partition: 0, name: name.into(), from, to, detail, lane: 0 }
    }

    #[test]
    fn ranges_cut_splits() {
        let o = Offsets::parse(&["a:b:0=100..250".into(), "t:1=7..".into(), "t:2=..9".into()]).unwrap();
        assert_eq!(o.starts(), [("a:b:0".into(), 100), ("t:1".into(), 7)].into());
        let clip = |name: &str, from, to| o.clip(split(name, from, to)).map(|s| (s.from, s.to));
        assert_eq!(clip("a:b[0]", 90, 110), Some((100, 110)));
        assert_eq!(clip("a:b[0]", 200, 300), Some((200, 250)));
        assert_eq!(clip("a:b[0]", 250, 300), None);
        assert_eq!(clip("t[1]", 0, 8), Some((7, 8)));
        assert_eq!(clip("t[2]", 0, 80), Some((0, 9)));
        assert_eq!(clip("t[3]", 0, 8), None);
        assert_eq!(Offsets::default().clip(split("x", 0, 0)), Some(split("x", 0, 0)));
    }

    #[test]
    fn what_is_no_range_is_said() {
        for bad in ["t:0", "t=1..2", "t:x=1..2", "t:0=1-2", "t:0=a..2", "t:0=2..2"] {
            assert!(Offsets::parse(&[bad.into()]).unwrap_err().to_string().contains(bad), "{bad}");
        }
        assert!(Offsets::parse(&["t:0=1..2".into(), "t:0=3..4".into()]).unwrap_err().to_string().contains("twice"));
    }
}
