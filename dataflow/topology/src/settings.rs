//! `[engine]`: how the dataflow runs. Everything has a default; none of it changes what comes out, only when and how
//! fast (but `key_groups`, which decides where state is kept).
use model::units::{Dur, Size};
use serde::{Deserialize, Serialize};

/// `[engine]` of a topology. Fields are called as they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// Close an epoch this long after its first input. Shorter: lower latency; longer: fewer commits.
    pub epoch: Dur,
    /// Close an epoch early once it holds this much input.
    pub epoch_bytes: Size,
    /// Most epochs that may be open at once. Sources wait when there are more.
    #[schemars(range(min = 1, max = 64))]
    pub in_flight: u32,
    /// Time between two snapshots of the state. Shorter: faster recovery; longer: less writing.
    pub checkpoint: Dur,
    /// Number of groups that keys are spread over: the unit in which state moves between workers. Fixed
    /// for the life of a data folder: an edit of it is refused.
    #[schemars(range(min = 1, max = 4096))]
    pub key_groups: u32,
    /// Number of writers of a sink that is not in one total order.
    #[schemars(range(min = 1, max = 256))]
    pub lanes: u32,
    /// Time given to destinations to deliver what is left at a graceful end.
    pub drain: Dur,
    /// Folder for the engine's own files: epoch log, snapshots, ledger, dead letters. Relative to the folder of the run;
    /// `.millstream/<name>` if not given.
    pub data_dir: Option<String>,
    /// Number of snapshots kept.
    #[schemars(range(min = 1, max = 100))]
    pub keep_snapshots: u32,
}

impl Default for EngineSettings {
    fn default() -> Self {
        EngineSettings {
            epoch: Dur(250),
            epoch_bytes: Size(32 << 20),
            in_flight: 4,
            checkpoint: Dur(10_000),
            key_groups: 128,
            lanes: 8,
            drain: Dur(30_000),
            data_dir: None,
            keep_snapshots: 3,
        }
    }
}

impl EngineSettings {
    /// What the schema cannot say: `(setting, message, hint)`.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut out = Vec::new();
        if self.epoch.0 == 0 {
            out.push(("epoch", "`epoch` must be longer than nothing".into(), "write \"250ms\""));
        }
        if self.epoch_bytes.0 == 0 {
            out.push(("epoch_bytes", "`epoch_bytes` must be more than nothing".into(), "write \"32MiB\""));
        }
        if self.checkpoint < self.epoch {
            let m = format!("`checkpoint` ({}) is shorter than `epoch` ({})", self.checkpoint, self.epoch);
            out.push(("checkpoint", m, "a snapshot is taken between two epochs: give it at least the time of one"));
        }
        if self.data_dir.as_deref() == Some("") {
            out.push(("data_dir", "`data_dir` must not be empty".into(), "leave it out for the default folder"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_survive_a_round_trip() {
        let d = EngineSettings::default();
        assert!(d.problems().is_empty());
        let json = serde_json::to_value(&d).unwrap();
        assert_eq!((json["epoch"].as_str(), json["epoch_bytes"].as_str()), (Some("250ms"), Some("32MiB")));
        assert_eq!(serde_json::from_value::<EngineSettings>(json).unwrap(), d);
        assert_eq!(serde_json::from_str::<EngineSettings>("{}").unwrap(), d);
    }

    #[test]
    fn nonsense_is_named() {
        let zero = EngineSettings { epoch: Dur(0), epoch_bytes: Size(0), ..Default::default() };
        let s = EngineSettings { data_dir: Some(String::new()), ..zero };
        assert_eq!(s.problems().iter().map(|p| p.0).collect::<Vec<_>>(), ["epoch", "epoch_bytes", "data_dir"]);
        let s = EngineSettings { epoch: Dur(60_000), ..Default::default() };
        assert_eq!(s.problems()[0].1, "`checkpoint` (10s) is shorter than `epoch` (1m)");
    }
}
