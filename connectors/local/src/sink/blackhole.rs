//! The `blackhole` sink: takes everything and keeps the count. For measuring, and for ends that are wanted dead.
use model::part::{Kind, Opened, Sharding};
use model::{BuildCx, Built, EpochInfo, Files, Flow, Node, Packet, Part, Problem, Receipt, Result, Sink, Spec};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

/// `type = "blackhole"`; see the module.
pub struct BlackholePart;

/// Settings of a `blackhole` sink: none.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {}

impl Part for BlackholePart {
    fn spec(&self) -> Spec {
        Spec {
            kind: Kind::Sink,
            name: "blackhole",
            doc: "Counts what arrives and forgets it.",
            inputs: &[Flow::Raw, Flow::Events, Flow::Matches, Flow::Alerts, Flow::Rejected],
            outputs: &[],
            sharding: Sharding::Lanes,
        }
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }
    fn open(&self, _id: &str, settings: &serde_json::Value, _files: &dyn Files) -> Opened {
        match Settings::deserialize(settings) {
            Ok(_) => Opened::ok(BlackholeNode),
            Err(e) => Opened::failed(vec![Problem::at("", e.to_string())]),
        }
    }
}

struct BlackholeNode;

impl Node for BlackholeNode {
    fn build(&self, _cx: &BuildCx) -> Result<Built> {
        Ok(Built::Sink(Box::new(Blackhole { rows: 0 })))
    }
}

struct Blackhole {
    rows: u64,
}

impl Blackhole {
    fn take(&mut self) -> Option<Receipt> {
        let rows = std::mem::take(&mut self.rows);
        Some(Receipt { rows, digest: format!("{:032x}", xxh3_128(&rows.to_le_bytes())), ..Receipt::default() })
    }
}

impl Sink for Blackhole {
    fn recover(&mut self, _last: Option<&Receipt>) -> Result<()> {
        Ok(())
    }
    fn stage(&mut self, packet: &Packet) -> Result<()> {
        self.rows += packet.len() as u64;
        Ok(())
    }
    fn commit(&mut self, _info: &EpochInfo) -> Result<Option<Receipt>> {
        Ok(self.take())
    }
    fn discard(&mut self, _info: &EpochInfo) -> Result<Option<Receipt>> {
        Ok(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_per_epoch() {
        let mut s = Blackhole { rows: 0 };
        let info = EpochInfo { epoch: 1, now_ms: 0, commands: vec![], snapshot: false, seal: false };
        let two = Packet::Records(vec![model::Record::Alert(Default::default()); 2]);
        s.stage(&two).unwrap();
        let a = s.commit(&info).unwrap().unwrap();
        s.stage(&two).unwrap();
        assert_eq!(s.discard(&info).unwrap().unwrap(), a);
        assert_eq!((a.rows, s.commit(&info).unwrap().unwrap().rows), (2, 0));
    }
}
