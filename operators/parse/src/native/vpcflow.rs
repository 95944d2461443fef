//! AWS VPC Flow Logs. The first line of a file names the columns, in any order and number (custom formats). Streams
//! without a header (flow logs through CloudWatch Logs) are read as the default format of version 2.
use super::columns::{int, text};
use super::{Native, NativeStream};
use crate::flat::FlatMap;

/// Known names a first line must have to count as a header.
const MIN_KNOWN: usize = 5;

/// Name in the log, name in the schema, whether it is a number.
const COLUMNS: &[(&str, &str, bool)] = &[
    ("version", "version", true),
    ("account-id", "account", false),
    ("interface-id", "interfaceId", false),
    ("srcaddr", "srcAddr", false),
    ("dstaddr", "dstAddr", false),
    ("srcport", "srcPort", true),
    ("dstport", "dstPort", true),
    ("protocol", "protocol", true),
    ("packets", "packets", true),
    ("bytes", "bytes", true),
    ("start", "start", true),
    ("end", "end", true),
    ("action", "action", false),
    ("log-status", "status", false),
    ("vpc-id", "vpcId", false),
    ("subnet-id", "subNetId", false),
    ("instance-id", "instanceId", false),
    ("tcp-flags", "tcpFlags", true),
    ("type", "trafficType", false),
    ("pkt-srcaddr", "pktSrcAddr", false),
    ("pkt-dstaddr", "pktDstAddr", false),
    ("region", "region", false),
    ("az-id", "azId", false),
    ("sublocation-type", "sublocationType", false),
    ("sublocation-id", "sublocationId", false),
    ("pkt-src-aws-service", "pktSrcAwsService", false),
    ("pkt-dst-aws-service", "pktDstAwsService", false),
    ("flow-direction", "flowDirection", false),
    ("traffic-path", "trafficPath", true),
    ("ecs-cluster-arn", "ecsClusterArn", false),
    ("ecs-cluster-name", "ecsClusterName", false),
    ("ecs-container-instance-arn", "ecsContainerInstanceArn", false),
    ("ecs-container-instance-id", "ecsContainerInstanceId", false),
    ("ecs-container-id", "ecsContainerId", false),
    ("ecs-second-container-id", "ecsSecondContainerId", false),
    ("ecs-service-name", "ecsServiceName", false),
    ("ecs-task-definition-arn", "ecsTaskDefinitionArn", false),
    ("ecs-task-arn", "ecsTaskArn", false),
    ("ecs-task-id", "ecsTaskId", false),
    ("reject-reason", "rejectReason", false),
    ("resource-id", "resourceId", false),
    ("encryption-status", "encryptionStatus", true),
];

/// Columns of the default format, the first ones of [`COLUMNS`].
const DEFAULT_FORMAT: usize = 14;

/// `AWS.VPCFlow`.
pub struct VpcFlow;

impl Native for VpcFlow {
    fn name(&self) -> &'static str {
        "vpcflow"
    }
    fn new_stream(&self) -> Box<dyn NativeStream> {
        Box::new(VpcFlowStream::default())
    }
}

/// What the columns mean, in their order: an index into [`COLUMNS`], `None` for a name that is not known.
type Order = Vec<Option<usize>>;

#[derive(Default)]
struct VpcFlowStream {
    /// The first line `order` was made from; a stream has one, but a split may be handed another.
    header: Option<String>,
    /// `None` if that line names no columns.
    order: Option<Order>,
}

impl NativeStream for VpcFlowStream {
    fn parse(&mut self, line: &str, header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        if self.header.as_deref() != header {
            self.order = header.and_then(read_header);
            self.header = header.map(str::to_string);
        }
        if header.map(str::trim) == Some(line) && self.order.is_some() {
            return Ok(None);
        }
        match &self.order {
            Some(order) => columns(line, order.iter().copied(), order.len(), out)?,
            None if line.starts_with("2 ") => columns(line, (0..DEFAULT_FORMAT).map(Some), DEFAULT_FORMAT, out)?,
            None => return Err("the first line of the stream does not name columns of a VPC flow log, and this is not a line of the default format".into()),
        }
        Ok(Some(()))
    }
}

/// Order of the columns if `line` is a header.
fn read_header(line: &str) -> Option<Order> {
    let order: Order =
        line.split_ascii_whitespace().map(|name| COLUMNS.iter().position(|(log, ..)| *log == name)).collect();
    (order.iter().flatten().count() >= MIN_KNOWN).then_some(order)
}

fn columns(
    line: &str,
    order: impl Iterator<Item = Option<usize>>,
    want: usize,
    out: &mut FlatMap,
) -> Result<(), String> {
    let mut values = line.split_ascii_whitespace();
    for (at, column) in order.enumerate() {
        let value = values.next().ok_or_else(|| format!("the line has {at} columns, its header {want}"))?;
        match column.map(|i| &COLUMNS[i]) {
            Some((_, name, true)) => int(out, name, value),
            Some((_, name, false)) => text(out, name, value),
            None => {}
        }
    }
    match values.next() {
        Some(_) => Err(format!("the line has more columns than its header ({want})")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{field, parse_lines};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_header_decides_the_order() {
        let header = "start end srcaddr dstaddr action new-name log-status";
        let got =
            parse_lines(&VpcFlow, Some(header), &[header, "1700000000 1700000060 192.0.2.1 - REJECT x OK", "1 2 3"]);
        assert_eq!(got[0], Ok(None));
        let f = got[1].clone().unwrap().unwrap();
        assert_eq!(field(&f, "srcAddr"), Some("192.0.2.1"));
        assert_eq!(field(&f, "dstAddr"), None);
        assert_eq!(field(&f, "start"), Some("1700000000"));
        assert_eq!(field(&f, "status"), Some("OK"));
        assert_eq!(f.len(), 5);
        assert!(got[2].clone().unwrap_err().contains("3 columns, its header 7"));
    }

    #[test]
    fn without_a_header_only_the_default_format_is_read() {
        let line = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";
        for header in [None, Some(line)] {
            let got = parse_lines(&VpcFlow, header, &[line, "3 x", &format!("{line} more"), "a b c d e f"]);
            assert_eq!(field(got[0].as_ref().unwrap().as_ref().unwrap(), "dstPort"), Some("22"));
            assert!(got[1..].iter().all(Result::is_err));
        }
    }

    #[test]
    fn schema_names_are_unique() {
        for (i, (log, field, _)) in COLUMNS.iter().enumerate() {
            assert!(COLUMNS[..i].iter().all(|(l, f, _)| l != log && f != field), "{log}");
        }
    }

    proptest! {
        #[test]
        fn any_line_under_any_header(header in proptest::option::of("\\PC{0,40}|([a-z-]{2,8} ){0,12}start end action srcaddr dstaddr"), line in "\\PC{0,60}|([0-9a-z.-]{1,6} ){0,20}") {
            let _ = parse_lines(&VpcFlow, header.as_deref(), &[line.trim()]);
        }
    }
}
