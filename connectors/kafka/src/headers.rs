//! Dead letters: the original bytes as the value, and headers that say what was wrong, named as Kafka Connect names
//! those of its dead-letter queue, so that tools which know those can read these.
use model::{Rejected, time};

/// Header of what `dlq requeue` has put back: `topic[partition]@offset` of the dead letter.
pub const REQUEUED_FROM: &str = "millstream.requeued-from";
/// Node that rejected the record.
pub(crate) const NODE: &str = "millstream.node";
/// Stable code of the reason.
pub(crate) const CODE: &str = "millstream.code";
/// Where the record came from, as the source names it.
pub(crate) const ORIGIN: &str = "millstream.origin";
/// `true` if the value is not everything.
pub(crate) const TRUNCATED: &str = "millstream.truncated";

/// Headers of a rejected record. A function of the record and the names of topology and shard: a replay gives the same.
pub(crate) fn of(r: &Rejected, topology: &str, shard: u32, truncated: bool) -> Vec<(&'static str, String)> {
    let from = partition_of(&r.origin);
    let mut out = vec![("__connect.errors.topic", from.map_or(&*r.origin, |(t, _)| t).to_string())];
    out.extend(from.map(|(_, p)| ("__connect.errors.partition", p.to_string())));
    out.extend([
        ("__connect.errors.offset", r.pos.offset.to_string()),
        ("__connect.errors.connector.name", topology.to_string()),
        ("__connect.errors.task.id", shard.to_string()),
        ("__connect.errors.stage", r.stage.to_uppercase()),
        ("__connect.errors.class.name", r.node.to_string()),
        ("__connect.errors.exception.class.name", r.code.clone()),
        ("__connect.errors.exception.message", r.reason.clone()),
        ("__connect.errors.exception.stacktrace", format!("{}: {}\n\tat {}/{}", r.code, r.reason, r.node, r.stage)),
        (NODE, r.node.to_string()),
        (CODE, r.code.clone()),
        ("millstream.stage", r.stage.clone()),
        ("millstream.row-id", format!("{:032x}", r.pos.row_id())),
        ("millstream.ordinal", r.pos.ordinal.to_string()),
        (ORIGIN, r.origin.to_string()),
        (TRUNCATED, truncated.to_string()),
        ("millstream.time", time::rfc3339_ms(r.now_ms)),
    ]);
    out
}

/// Topic and partition in a name of the form `topic[partition]`.
pub(crate) fn partition_of(origin: &str) -> Option<(&str, i32)> {
    let (topic, partition) = origin.strip_suffix(']')?.rsplit_once('[')?;
    let number = partition.parse().ok().filter(|n| *n >= 0)?;
    (!topic.is_empty() && partition.bytes().all(|b| b.is_ascii_digit())).then_some((topic, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kafka_origin_is_taken_apart_a_file_is_not() {
        assert_eq!(partition_of("logs[12]"), Some(("logs", 12)));
        for other in ["/var/log/a.json", "logs[]", "[3]", "logs[-1]", "logs[+1]", "logs[1", "logs[99999999999]"] {
            assert_eq!(partition_of(other), None, "{other}");
        }
        let r = Rejected {
            origin: "logs[3]".into(),
            code: "bad_utf8".into(),
            stage: "decode".into(),
            ..Rejected::default()
        };
        let h = of(&r, "topo", 5, false);
        let get = |k: &str| h.iter().find(|(n, _)| *n == k).map(|(_, v)| v.as_str());
        assert_eq!(get("__connect.errors.topic"), Some("logs"));
        assert_eq!(get("__connect.errors.partition"), Some("3"));
        assert_eq!(get("__connect.errors.stage"), Some("DECODE"));
        assert_eq!(get("__connect.errors.task.id"), Some("5"));
        assert_eq!(get(CODE), Some("bad_utf8"));
        let connect = h.iter().filter(|(n, _)| n.starts_with("__connect.errors.")).count();
        assert_eq!(connect, 10);
    }
}
