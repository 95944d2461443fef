//! An alert as JSON, written from the alert itself.
use crate::json::shallow;
use crate::record::{Alert, Change};
use crate::severity::Severity;
use crate::time;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What [`Alert::to_json`] holds, in its order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertRow<'a> {
    id: &'a str,
    alert_id: &'a str,
    change: Change,
    r#type: &'static str,
    severity: Severity,
    title: &'a str,
    name: &'a str,
    created_at: String,
    updated_at: String,
    first_event_time: String,
    last_event_time: String,
    count: u64,
    dedup: &'a str,
    alert_context: &'a RawValue,
    description: &'a str,
    reference: &'a str,
    runbook: &'a str,
    tags: &'a [String],
    reports: &'a BTreeMap<String, Vec<String>>,
    log_types: &'a [Arc<str>],
    link: (),
    version: &'a str,
    event_id: String,
}

impl<'a> AlertRow<'a> {
    pub(crate) fn of(a: &'a Alert) -> AlertRow<'a> {
        AlertRow {
            id: &a.rule.id,
            alert_id: &a.id,
            change: a.change,
            r#type: a.type_name(),
            severity: a.severity,
            title: &a.title,
            name: &a.rule.name,
            created_at: time::rfc3339_ms(a.created_ms),
            updated_at: time::rfc3339_ms(a.updated_ms),
            first_event_time: time::rfc3339_ms(a.first_event_ms),
            last_event_time: time::rfc3339_ms(a.last_event_ms),
            count: a.event_count,
            dedup: &a.dedup,
            // The text as it is: whoever made it wrote it from a JSON value.
            alert_context: match a.context.as_deref().filter(|t| shallow(t)).map(serde_json::from_str) {
                Some(Ok(context)) => context,
                _ => nothing(),
            },
            description: &a.description,
            reference: &a.reference,
            runbook: &a.runbook,
            tags: &a.rule.tags,
            reports: &a.rule.reports,
            log_types: &a.log_types,
            link: (),
            version: &a.rule.version,
            event_id: format!("{:032x}", a.pos.row_id()),
        }
    }
}

fn nothing() -> &'static RawValue {
    serde_json::from_str("{}").expect("an empty object")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fields, Record, RuleMeta};
    use serde_json::json;

    #[test]
    fn the_text_is_that_of_the_value_and_says_everything() {
        let rule = RuleMeta {
            id: "AWS.Root".into(),
            name: "Root".into(),
            version: "v1".into(),
            tags: vec!["aws".into()],
            reports: [("CIS".to_string(), vec!["1.1".to_string()])].into(),
            ..RuleMeta::default()
        };
        let alert = |context: Option<&str>| Alert {
            id: "ab".repeat(16),
            rule: Arc::new(rule.clone()),
            title: "a \"title\"".into(),
            dedup: "root".into(),
            context: context.map(String::from),
            event_count: 2,
            log_types: vec!["AWS.CloudTrail".into()],
            first_event_ms: 1_772_366_400_123,
            ..Alert::default()
        };
        let context = json!({ "ip": "192.0.2.1", "n": 1.5e300, "deep": [{ "x": null }] });
        for (text, value) in [(Some(context.to_string()), context), (None, json!({})), (Some("{".into()), json!({}))] {
            let a = alert(text.as_deref());
            let (mut bytes, whole) = (Vec::new(), a.to_json());
            assert_eq!(whole["alertContext"], value);
            Record::Alert(Box::new(a)).write_json(&mut bytes).unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), whole.to_string());
        }
        // What can still be read is kept; what nobody could read back is not, and the alert stays whole.
        for (levels, kept) in [(127, true), (128, false)] {
            let nested = format!("{}1{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
            let a = alert(Some(&format!("{{\"a\":{nested}}}")));
            let (mut bytes, whole) = (Vec::new(), a.to_json());
            assert_eq!((&whole["dedup"], whole["alertContext"]["a"].is_array()), (&json!("root"), kept), "{levels}");
            let fields = Fields::parse(&["a=alertContext.a[0]".to_string()]).unwrap();
            let a = Record::Alert(Box::new(a));
            fields.write(&a, &mut bytes).unwrap();
            assert_eq!(bytes.starts_with(b"{\"a\":["), kept, "{levels}");
            bytes.clear();
            a.write_json(&mut bytes).unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), whole.to_string());
        }
        let text = alert(None).to_json().to_string();
        let want = r#"{"id":"AWS.Root","alertId":"abababababababababababababababab","change":"new","type":"RULE","severity":"INFO","title":"a \"title\"","name":"Root","createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z","firstEventTime":"2026-03-01T12:00:00.123Z","lastEventTime":"1970-01-01T00:00:00.000Z","count":2,"dedup":"root","alertContext":{},"description":"","reference":"","runbook":"","tags":["aws"],"reports":{"CIS":["1.1"]},"logTypes":["AWS.CloudTrail"],"link":null,"version":"v1","eventId":"9098098c9951f3d716773ceb7fe497b1"}"#;
        assert_eq!(text, want);
    }
}
