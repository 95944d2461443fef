//! What a message says: which objects were created. Shapes: S3's own event, the same inside SNS, EventBridge's
//! "Object Created", CloudTrail's delivery notice; test messages and deletions name nothing.
use crate::object::decode;
use serde::Deserialize;

/// Objects one message may name.
const NAMED_MAX: usize = 500;
/// What CloudTrail sends when a topic is set up.
const VALIDATION: &str = "CloudTrail validation message.";

/// An object, as far as a notice tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) version: Option<String>,
    /// Without quotes.
    pub(crate) etag: Option<String>,
    /// `None` if unknown.
    pub(crate) size: Option<u64>,
    pub(crate) region: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    #[serde(rename = "Type")]
    kind: Option<String>,
    message: Option<String>,
    event: Option<String>,
    records: Option<Vec<Event>>,
    #[serde(rename = "s3Bucket")]
    s3_bucket: Option<String>,
    #[serde(rename = "s3ObjectKey")]
    s3_object_key: Option<Vec<String>>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    #[serde(rename = "source")]
    source: Option<String>,
    #[serde(rename = "region")]
    region: Option<String>,
    #[serde(rename = "detail")]
    detail: Option<Entity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    event_name: String,
    aws_region: Option<String>,
    s3: Option<Entity>,
}

#[derive(Deserialize)]
struct Entity {
    bucket: Option<Bucket>,
    object: Option<Object>,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    size: Option<i64>,
    #[serde(alias = "eTag")]
    etag: Option<String>,
    #[serde(alias = "versionId", rename = "version-id")]
    version: Option<String>,
}

impl Entity {
    /// `encoded`: the key is, as in a form of a web page.
    fn named(self, region: Option<String>, encoded: bool) -> Result<Named, String> {
        let (Some(bucket), Some(o)) = (self.bucket, self.object) else {
            return Err("it does not name bucket and object".into());
        };
        let key = match encoded {
            true => decode(&o.key.replace('+', " ")).ok_or("the key is not UTF-8")?,
            false => o.key,
        };
        Ok(Named {
            bucket: bucket.name,
            key,
            version: o.version.filter(|v| !v.is_empty() && v != "null"),
            etag: o.etag.map(|e| e.trim_matches('"').to_string()).filter(|e| !e.is_empty()),
            size: o.size.and_then(|s| s.try_into().ok()),
            region: region.filter(|r| !r.is_empty()),
        })
    }
}

/// Objects a message body names; none for messages that mean nothing to us. Errors: a body that is not understood.
pub(crate) fn read(body: &str) -> Result<Vec<Named>, String> {
    if body.trim() == VALIDATION {
        return Ok(Vec::new());
    }
    let e: Envelope = serde_json::from_str(body).map_err(|e| format!("not a notice of S3: {e}"))?;
    match (e.kind.as_deref(), e.message) {
        (Some("Notification"), Some(inner)) => return unwrapped(&inner),
        (Some("SubscriptionConfirmation" | "UnsubscribeConfirmation"), _) => return Ok(Vec::new()),
        _ => {}
    }
    if e.event.as_deref() == Some("s3:TestEvent") {
        return Ok(Vec::new());
    }
    if let Some(records) = e.records {
        let created = |r: &Event| r.event_name.trim_start_matches("s3:").starts_with("ObjectCreated:");
        let named = records.into_iter().filter(created).map(|r| match r.s3 {
            Some(s3) => s3.named(r.aws_region, true),
            None => Err("a record without `s3`".into()),
        });
        return bounded(named.collect::<Result<_, _>>()?);
    }
    if let (Some(bucket), Some(keys)) = (e.s3_bucket, e.s3_object_key) {
        let named = |key| Named { bucket: bucket.clone(), key, ..Named::default() };
        return bounded(keys.into_iter().map(named).collect());
    }
    match (e.source.as_deref(), e.detail_type.as_deref(), e.detail) {
        (Some("aws.s3"), Some("Object Created"), Some(d)) => Ok(vec![d.named(e.region, false)?]),
        (Some("aws.s3"), Some(_), _) => Ok(Vec::new()),
        _ => Err("not a notice of S3: none of its known forms".into()),
    }
}

/// The message of an SNS notification, which is no notification itself.
fn unwrapped(inner: &str) -> Result<Vec<Named>, String> {
    let again = serde_json::from_str::<Envelope>(inner).is_ok_and(|e| e.kind.is_some());
    if again { Err("a notification inside a notification".into()) } else { read(inner) }
}

fn bounded(named: Vec<Named>) -> Result<Vec<Named>, String> {
    if named.len() > NAMED_MAX {
        return Err(format!("it names {} objects, more than {NAMED_MAX}", named.len()));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(name: &str, key: &str) -> serde_json::Value {
        json!({"Records": [{"eventName": name, "awsRegion": "eu-west-1", "s3": {"bucket": {"name": "b"},
            "object": {"key": key, "size": 7, "eTag": "e1", "versionId": "v1", "sequencer": "0"}}}]})
    }

    #[test]
    fn every_form_of_a_notice() {
        let s3 = event("ObjectCreated:Put", "logs%2F2026/a+b%2Bc.json").to_string();
        let want = Named {
            bucket: "b".into(),
            key: "logs/2026/a b+c.json".into(),
            version: Some("v1".into()),
            etag: Some("e1".into()),
            size: Some(7),
            region: Some("eu-west-1".into()),
        };
        assert_eq!(read(&s3).unwrap(), [want.clone()]);
        assert_eq!(read(&json!({"Type": "Notification", "Message": s3}).to_string()).unwrap(), [want.clone()]);
        let bridge = json!({"source": "aws.s3", "detail-type": "Object Created", "region": "eu-west-1", "detail": {
            "bucket": {"name": "b"}, "object": {"key": "logs/a+b%2F", "size": -1, "etag": "e1", "version-id": "v1"}}});
        let raw_key = Named { key: "logs/a+b%2F".into(), size: None, ..want.clone() };
        assert_eq!(read(&bridge.to_string()).unwrap(), [raw_key]);
        let trail = json!({"s3Bucket": "b", "s3ObjectKey": ["x", "y"]}).to_string();
        let bare = |k: &str| Named { bucket: "b".into(), key: k.into(), ..Named::default() };
        assert_eq!(read(&trail).unwrap(), [bare("x"), bare("y")]);
        assert_eq!(read(&json!({"Type": "Notification", "Message": trail}).to_string()).unwrap().len(), 2);
        for nothing in [
            json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}).to_string(),
            json!({"Type": "Notification", "Message": "CloudTrail validation message."}).to_string(),
            json!({"Type": "SubscriptionConfirmation", "SubscribeURL": "https://x"}).to_string(),
            json!({"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}}).to_string(),
            event("ObjectRemoved:Delete", "x").to_string(),
            json!({"Records": []}).to_string(),
        ] {
            assert_eq!(read(&nothing).unwrap(), [], "{nothing}");
        }
        for (bad, why) in [
            ("not json".to_string(), "not a notice of S3"),
            ("{}".into(), "none of its known forms"),
            ("7".into(), "not a notice"),
            (json!({"Records": [{"eventName": "ObjectCreated:Put"}]}).to_string(), "without `s3`"),
            (event("ObjectCreated:Put", "%ff").to_string(), "not UTF-8"),
            (json!({"s3Bucket": "b", "s3ObjectKey": vec!["k"; 501]}).to_string(), "501 objects"),
            (
                json!({"Type": "Notification", "Message": json!({"Type": "Notification"}).to_string()}).to_string(),
                "inside",
            ),
        ] {
            let e = read(&bad).unwrap_err();
            assert!(e.contains(why), "{bad}: {e}");
        }
    }
}
