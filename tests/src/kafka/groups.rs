//! Consumer groups as Kafka's own tool shows them.
use super::jars::Jars;
use anyhow::{Context, Result, bail};

/// A line of `kafka-consumer-groups --describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLine {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Committed offset, if there is one.
    pub current: Option<i64>,
    /// End of the partition.
    pub end: i64,
    /// What is missing to the end, if something was committed.
    pub lag: Option<i64>,
}

/// Run the tool. A group that nobody has committed for yet has no lines.
pub(super) fn describe(jars: &Jars, bootstrap: &str, group: &str) -> Result<Vec<GroupLine>> {
    let mut c = jars.java("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "128m", false);
    let out = c
        .args(["--bootstrap-server", bootstrap, "--describe", "--group", group])
        .output()
        .context("start java for kafka-consumer-groups")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        bail!("kafka-consumer-groups: {}\n{text}{}", out.status, String::from_utf8_lossy(&out.stderr));
    }
    parse(&text, group).with_context(|| format!("kafka-consumer-groups answered:\n{text}"))
}

/// Columns: GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID.
fn parse(text: &str, group: &str) -> Result<Vec<GroupLine>> {
    if text.contains(&format!("GroupIdNotFoundException: Group {group} not found")) {
        return Ok(Vec::new());
    }
    let header = text.lines().find(|l| l.starts_with("GROUP")).context("no table")?;
    let names: Vec<&str> = header.split_whitespace().collect();
    let column = |name: &str| names.iter().position(|n| *n == name).with_context(|| format!("no column {name}"));
    let (topic, partition) = (column("TOPIC")?, column("PARTITION")?);
    let (current, end, lag) = (column("CURRENT-OFFSET")?, column("LOG-END-OFFSET")?, column("LAG")?);
    let mut lines = Vec::new();
    for line in text.lines().filter(|l| l.split_whitespace().next() == Some(group)) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let field = |i: usize| fields.get(i).copied().with_context(|| format!("short line: {line}"));
        let optional = |i: usize| -> Result<Option<i64>> {
            match field(i)? {
                "-" => Ok(None),
                n => Ok(Some(n.parse().with_context(|| format!("not a number in: {line}"))?)),
            }
        };
        lines.push(GroupLine {
            topic: field(topic)?.into(),
            partition: field(partition)?.parse()?,
            current: optional(current)?,
            end: field(end)?.parse()?,
            lag: optional(lag)?,
        });
    }
    lines.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_table_is_read_with_and_without_a_committed_offset() {
        let text = "\nConsumer group 'g' has no active members.\n\n\
            GROUP  TOPIC  PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG  CONSUMER-ID  HOST  CLIENT-ID\n\
            g      t      1          -               7               -    -            -     -\n\
            g      t      0          5               9               4    -            -     -\n";
        let line = |partition, current, end, lag| GroupLine { topic: "t".into(), partition, current, end, lag };
        assert_eq!(parse(text, "g").unwrap(), [line(0, Some(5), 9, Some(4)), line(1, None, 7, None)]);
        assert!(parse("Error: no such group", "g").is_err());
        let none = "Error: … org.apache.kafka.common.errors.GroupIdNotFoundException: Group g not found.\n";
        assert!(parse(none, "g").unwrap().is_empty() && parse(none, "other").is_err());
    }
}
