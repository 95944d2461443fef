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
    /// Close an epoch early once it holds this much input. Less: less memory; more: fewer commits in a backlog.
    pub epoch_bytes: Size,
    /// Most epochs that may be open at once; of full ones two. Sources wait when there are more.
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
    /// With `[log]`: where state snapshots are kept, a folder or `s3://bucket/prefix`; `snapshots` in the data folder if
    /// not given. In a cluster of several machines every process must reach it.
    pub snapshots: Option<String>,
    /// Address of the HTTP endpoint with `/metrics`, `/healthz` and `/readyz`, as `127.0.0.1:9600`; none if not given.
    pub http: Option<String>,
    /// Allow `http` to listen on an address that is not this machine's own. Nobody is asked who they are there.
    pub http_public: bool,
}

/// `[cluster]` of a topology: several processes that run one dataflow.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// Address of every process, `host:port`, in order: process 0 first. All processes have the same list.
    #[schemars(length(min = 1, max = 64))]
    pub hosts: Vec<String>,
    /// What every process proves to know before it is let in, at least 16 characters; best `SECRET[env.NAME]`.
    pub secret: String,
    /// Address that a process listens on, if that is not its entry in `hosts`: `0.0.0.0:2101` in a container.
    pub bind: Option<String>,
    /// A process that is not heard of for this long is taken for lost, and the cluster starts again from the log.
    #[serde(default = "contact")]
    pub timeout: Dur,
}

impl std::fmt::Debug for ClusterSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterSettings").field("hosts", &self.hosts).field("bind", &self.bind).finish_non_exhaustive()
    }
}

fn contact() -> Dur {
    Dur(10_000)
}

/// Shortest cluster secret.
pub const SECRET_MIN: usize = 16;

impl ClusterSettings {
    /// What the schema cannot say: `(setting, message, hint)`.
    pub(crate) fn problems(&self) -> Vec<(String, String, &'static str)> {
        let mut out = Vec::new();
        for (i, h) in self.hosts.iter().chain(&self.bind).enumerate() {
            let at = if i < self.hosts.len() { format!("hosts[{i}]") } else { "bind".into() };
            let port = h.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, p)| p.parse::<u16>().ok());
            if port.is_none() {
                out.push((at, format!("`{h}` is not an address"), "write \"host:port\""));
            } else if self.hosts[..i.min(self.hosts.len())].contains(h) && i < self.hosts.len() {
                out.push((at, format!("`{h}` stands twice"), "every process needs an address of its own"));
            }
        }
        if self.secret.len() < SECRET_MIN {
            let m = format!("`secret` has {} characters, at least {SECRET_MIN} are needed", self.secret.len());
            out.push(("secret".into(), m, "openssl rand -hex 32"));
        }
        if self.timeout.0 < 1000 {
            out.push(("timeout".into(), "`timeout` is shorter than a second".into(), "write \"10s\""));
        }
        out
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        EngineSettings {
            epoch: Dur(250),
            epoch_bytes: Size(64 << 20),
            in_flight: 4,
            checkpoint: Dur(10_000),
            key_groups: 128,
            lanes: 8,
            drain: Dur(30_000),
            data_dir: None,
            keep_snapshots: 3,
            snapshots: None,
            http: None,
            http_public: false,
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
            out.push(("epoch_bytes", "`epoch_bytes` must be more than nothing".into(), "write \"64MiB\""));
        }
        if self.checkpoint < self.epoch {
            let m = format!("`checkpoint` ({}) is shorter than `epoch` ({})", self.checkpoint, self.epoch);
            out.push(("checkpoint", m, "a snapshot is taken between two epochs: give it at least the time of one"));
        }
        if let Some(h) = &self.http {
            match h.parse::<std::net::SocketAddr>() {
                Err(_) => {
                    out.push(("http", format!("`{h}` is not an address with a port"), "write \"127.0.0.1:9600\""))
                }
                Ok(a) if !a.ip().is_loopback() && !self.http_public => {
                    let m = format!("`{h}` can be reached from other machines, and nobody is asked who they are there");
                    out.push(("http", m, "listen on 127.0.0.1, or set http_public = true behind a firewall"));
                }
                Ok(_) => {}
            }
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
        assert_eq!((json["epoch"].as_str(), json["epoch_bytes"].as_str()), (Some("250ms"), Some("64MiB")));
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
