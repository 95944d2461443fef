//! One request: what it carries, and what its answer means.
use crate::delivery::{Deliver, Outcome};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use model::Problem;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use ureq::http::{HeaderName, HeaderValue, Uri};

/// Bytes of an answer that are kept for the reason of a dead letter.
const ANSWER: u64 = 512;

/// A checked destination.
#[derive(Clone)]
pub(crate) struct Target {
    uri: Uri,
    keys: Vec<Vec<u8>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Target {
    /// Check everything that can be wrong before the first request.
    pub(crate) fn check(
        url: &str,
        secrets: &[String],
        headers: &BTreeMap<String, String>,
        allow_http: bool,
        problems: &mut Vec<Problem>,
    ) -> Option<Target> {
        let uri = match check_url(url, allow_http) {
            Ok(uri) => Some(uri),
            Err(p) => {
                problems.push(p);
                None
            }
        };
        let keys = secrets.iter().filter_map(|s| key(s).map_err(|p| problems.push(p)).ok()).collect();
        let mut checked = Vec::new();
        for (name, value) in headers {
            match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                (Ok(n), _) if OURS.contains(&n.as_str()) => {
                    problems.push(Problem::at(&format!("headers.{name}"), "this header is set by the product"));
                }
                (Ok(n), Ok(v)) => checked.push((n, v)),
                (Err(_), _) => problems.push(Problem::at(&format!("headers.{name}"), "this is no name of a header")),
                (_, Err(_)) => problems.push(Problem::at(
                    &format!("headers.{name}"),
                    "its value holds a line end or other control characters",
                )),
            }
        }
        Some(Target { uri: uri?, keys, headers: checked })
    }

    /// Host, for people; the rest of a URL may be secret.
    pub(crate) fn host(&self) -> String {
        self.uri.host().unwrap_or_default().to_string()
    }

    /// `webhook-signature`: one per key, newest first.
    fn signature(&self, id: &str, at: u64, body: &[u8]) -> Option<String> {
        let one = |key: &Vec<u8>| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{at}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
        };
        let all: Option<Vec<String>> = self.keys.iter().map(one).collect();
        all.filter(|v| !v.is_empty()).map(|v| v.join(" "))
    }
}

const OURS: [&str; 7] = [
    "content-type",
    "content-length",
    "host",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "idempotency-key",
];

fn check_url(url: &str, allow_http: bool) -> Result<Uri, Problem> {
    let bad = |why: String| Problem::at("url", why);
    let uri: Uri = url.parse().map_err(|e| bad(format!("`{url}` is not a URL: {e}")))?;
    let host = uri.host().unwrap_or_default();
    if host.is_empty() {
        return Err(bad("the URL names no host".into()).hint("write \"https://host/path\""));
    }
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(bad("a URL must not hold a password".into()).hint("put it into headers.Authorization"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if allow_http || is_loopback(host) => Ok(uri),
        Some("http") => Err(bad("http to another machine: alerts could be read and changed on the way".into())
            .hint("use https, or set allow_http = true where the network is trusted")),
        _ => Err(bad("the URL must start with https://".into())),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).is_loopback()
}

fn key(secret: &str) -> Result<Vec<u8>, Problem> {
    match secret.strip_prefix("whsec_") {
        Some(b64) => BASE64.decode(b64).map_err(|_| Problem::at("secret", "what follows whsec_ is not base64")),
        None if secret.is_empty() => {
            Err(Problem::at("secret", "the secret is empty").hint("leave it out to send without a signature"))
        }
        None => Ok(secret.as_bytes().to_vec()),
    }
}

/// Sends requests to a target over kept connections.
pub(crate) struct Post {
    target: Target,
    agent: ureq::Agent,
}

impl Post {
    pub(crate) fn new(target: Target, timeout: Duration) -> Post {
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("millstream/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&target.host()) {
            config = config.proxy(None);
        }
        Post { agent: config.build().into(), target }
    }
}

impl Deliver for Post {
    fn deliver(&self, alert_id: &str, body: &[u8]) -> Outcome {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut request = self
            .agent
            .post(&self.target.uri)
            .header("content-type", "application/json")
            .header("webhook-id", alert_id)
            .header("webhook-timestamp", now.as_secs().to_string())
            .header("idempotency-key", alert_id);
        if let Some(s) = self.target.signature(alert_id, now.as_secs(), body) {
            request = request.header("webhook-signature", s);
        }
        for (name, value) in &self.target.headers {
            request = request.header(name, value);
        }
        match request.send(body) {
            Ok(mut answer) => {
                let asked =
                    answer.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(|v| pause(v, now));
                let mut text = Vec::new();
                // Reading to the end keeps the connection; a fault here does not undo the status.
                let _ = answer.body_mut().as_reader().take(ANSWER).read_to_end(&mut text);
                judge(answer.status().as_u16(), asked, &String::from_utf8_lossy(&text))
            }
            Err(ureq::Error::Http(e)) => Outcome::Refused(format!("the request cannot be built: {e}")),
            Err(e) => Outcome::Retry(e.to_string(), None),
        }
    }
}

/// What a status means.
fn judge(status: u16, asked: Option<Duration>, answer: &str) -> Outcome {
    let why = || format!("HTTP {status}: {}", answer.trim());
    match status {
        200..300 => Outcome::Delivered,
        408 | 429 => Outcome::Retry(why(), asked),
        400..500 => Outcome::Refused(why()),
        _ => Outcome::Retry(why(), asked),
    }
}

/// `Retry-After`: seconds or a date.
fn pause(value: &str, now: Duration) -> Option<Duration> {
    let value = value.trim();
    if let Ok(s) = value.parse() {
        return Some(Duration::from_secs(s));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::from_secs(u64::try_from(at.as_second()).ok()?).saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, allow_http: bool) -> Result<Target, String> {
        let mut p = Vec::new();
        Target::check(url, &[], &BTreeMap::new(), allow_http, &mut p).ok_or_else(|| p[0].message.clone())
    }

    #[test]
    fn http_leaves_this_machine_only_when_allowed() {
        for ok in ["https://hooks.example.com/x", "http://localhost:1/x", "http://127.0.0.9/", "http://[::1]:8080/"] {
            assert!(check(ok, false).is_ok(), "{ok}");
        }
        for bad in [
            "http://hooks.example.com/",
            "http://10.0.0.1/",
            "http://169.254.169.254/latest",
            "ftp://x/",
            "/path",
            "",
            "https://",
            "https://u:p@h/",
            "http://127.0.0.1.example.com/",
        ] {
            assert!(check(bad, false).is_err(), "{bad}");
        }
        assert!(check("http://10.0.0.1/", true).is_ok());
        assert_eq!(check("https://h.example/secret-token", false).unwrap().host(), "h.example");
    }

    #[test]
    fn problems_are_told_together() {
        let mut p = Vec::new();
        let headers = [("bad name", "x"), ("x-a", "line\nend"), ("Webhook-Id", "1")]
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .into();
        let t = Target::check("ftp://x", &["whsec_%%".into(), "".into()], &headers, false, &mut p);
        assert!(t.is_none() && p.len() == 6, "{p:?}");
    }

    /// The example of the Standard Webhooks specification.
    #[test]
    fn signs_as_the_standard_says() {
        let mut p = Vec::new();
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_string()];
        let t = Target::check("https://x.example/", &secrets, &BTreeMap::new(), false, &mut p).unwrap();
        let got = t.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(got.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        let both = Target { keys: vec![b"a".to_vec(), b"b".to_vec()], ..t.clone() }.signature("i", 1, b"").unwrap();
        assert_eq!(both.split(' ').filter(|s| s.starts_with("v1,")).count(), 2);
        assert_eq!(Target { keys: vec![], ..t }.signature("i", 1, b""), None);
    }

    #[test]
    fn answers_and_pauses() {
        let s = Duration::from_secs;
        assert_eq!(judge(204, None, ""), Outcome::Delivered);
        assert!(matches!(judge(404, None, "no"), Outcome::Refused(w) if w == "HTTP 404: no"));
        for again in [301, 408, 429, 500, 503] {
            assert!(matches!(judge(again, Some(s(3)), ""), Outcome::Retry(_, Some(d)) if d == s(3)), "{again}");
        }
        assert_eq!(pause("120", s(0)), Some(s(120)));
        assert_eq!(pause("Wed, 21 Oct 2015 07:28:00 GMT", s(1_445_412_470)), Some(s(10)));
        assert_eq!(pause("Wed, 21 Oct 2015 07:28:00 GMT", s(2_000_000_000)), Some(s(0)));
        assert_eq!(pause("soon", s(0)), None);
    }
}
