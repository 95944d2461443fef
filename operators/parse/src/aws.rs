//! The search for indicators in the free JSON of AWS events (`requestParameters` and its like), functional spec §2.3.
use crate::indicator::{Found, Scanner};
use serde_json::Value;

/// Gather what the keys and strings of `value` give away.
pub fn search(value: &Value, found: &mut Found) {
    walk("", value, found);
}

fn walk(key: &str, value: &Value, found: &mut Found) {
    match value {
        Value::String(s) => string(key, s, found),
        Value::Array(items) => {
            for item in items {
                if key == "tags" {
                    tag(item, found);
                }
                walk(key, item, found);
            }
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| walk(k, v, found)),
        _ => {}
    }
}

fn string(key: &str, s: &str, found: &mut Found) {
    if s.starts_with("arn:") {
        found.scan(Scanner::AwsArn, s);
    }
    match key {
        "ipv6Addresses" | "publicIp" | "privateIpAddress" | "ipAddressV4" => found.scan(Scanner::Ip, s),
        "publicDnsName" | "privateDnsName" | "domain" => found.scan(Scanner::Domain, s),
        k if k == "instanceId" || k.ends_with("InstanceId") => found.scan(Scanner::AwsInstanceId, s),
        k if k == "accountId" || k.ends_with("AccountId") => found.scan(Scanner::AwsAccountId, s),
        _ => {}
    }
}

fn tag(item: &Value, found: &mut Found) {
    if let (Some(k), Some(v)) = (item.get("key").and_then(Value::as_str), item.get("value").and_then(Value::as_str)) {
        found.tag(k, v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_what_the_keys_name() {
        let v = json!({
            "a": {"roleArn": "arn:aws:iam::123456789012:role/R", "sourceInstanceId": "i-1", "note": "not arn:x"},
            "tags": [{"key": "env", "value": "prod"}, {"key": "x"}],
            "ipv6Addresses": ["::1", "no"],
            "targetAccountId": "210987654321",
            "n": [{"publicIp": "1.1.1.1", "publicDnsName": "h.example"}, 5, null],
        });
        let mut f = Found::default();
        search(&v, &mut f);
        let got: Vec<(&str, Vec<String>)> = f.finish().into_iter().map(|(a, v)| (a.name(), v)).collect();
        assert_eq!(
            got,
            vec![
                ("p_any_aws_account_ids", vec!["123456789012".into(), "210987654321".into()]),
                ("p_any_aws_arns", vec!["arn:aws:iam::123456789012:role/R".into()]),
                ("p_any_aws_instance_ids", vec!["i-1".into()]),
                ("p_any_aws_tags", vec!["env:prod".into()]),
                ("p_any_domain_names", vec!["h.example".into()]),
                ("p_any_ip_addresses", vec!["1.1.1.1".to_string(), "::1".to_string()]),
            ]
        );
    }
}
