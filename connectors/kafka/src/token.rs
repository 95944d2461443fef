//! Bearer tokens out of a file (SASL OAUTHBEARER).
//!
//! A JSON Web Token says itself whose it is and until when it is good; of any other token neither is known, so it is
//! read again every few minutes. The token is not verified here: the brokers do that.
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a token is used that does not say until when it is good.
const UNKNOWN_LIFE: Duration = Duration::from_secs(300);
/// Largest token file.
const MAX_TOKEN: u64 = 64 << 10;
/// Who a token is for, if it does not say.
const NOBODY: &str = "millstream";

#[derive(Default, Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
}

/// The token in a file. Fails if the file cannot be read, is empty or too large, or its token has expired.
pub(crate) fn read(file: &str) -> Result<OAuthToken, String> {
    let size = std::fs::metadata(file).map_err(|e| format!("token file {file}: {e}"))?.len();
    if size > MAX_TOKEN {
        return Err(format!("token file {file}: {size} bytes are no token"));
    }
    let text = std::fs::read_to_string(file).map_err(|e| format!("token file {file}: {e}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    parse(text.trim(), now).map_err(|e| format!("token file {file}: {e}"))
}

fn parse(token: &str, now: Duration) -> Result<OAuthToken, String> {
    if token.is_empty() || token.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("it does not hold one token".into());
    }
    let claims = claims(token).unwrap_or_default();
    let until = match claims.exp {
        Some(exp) if exp <= now.as_secs_f64() => {
            return Err(format!("the token expired {:.0} s ago; renew it", now.as_secs_f64() - exp));
        }
        Some(exp) => (exp * 1000.0) as i64,
        None => (now + UNKNOWN_LIFE).as_millis() as i64,
    };
    let principal = claims.sub.filter(|s| !s.is_empty() && !s.contains('\0')).unwrap_or_else(|| NOBODY.into());
    Ok(OAuthToken { token: token.into(), principal_name: principal, lifetime_ms: until })
}

/// Claims of a JSON Web Token: the middle one of three parts.
fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&base64url(claims)?).ok()
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut n) = (0u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        (bits, n) = (bits << 6 | six as u32, n + 6);
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    #[test]
    fn a_web_token_names_its_owner_and_its_end() {
        // {"sub":"soc@example.org","exp":1700000600}
        let t = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzb2NAZXhhbXBsZS5vcmciLCJleHAiOjE3MDAwMDA2MDB9.sig";
        let got = parse(t, NOW).unwrap();
        assert_eq!((got.principal_name.as_str(), got.lifetime_ms), ("soc@example.org", 1_700_000_600_000));
        assert_eq!(got.token, t);
        let late = parse(t, NOW + Duration::from_secs(700)).err().unwrap();
        assert_eq!(late, "the token expired 100 s ago; renew it");
    }

    #[test]
    fn any_other_token_is_used_for_a_while() {
        let got = parse("opaque", NOW).unwrap();
        assert_eq!((got.principal_name.as_str(), got.lifetime_ms), ("millstream", 1_700_000_300_000));
        assert!(parse("", NOW).is_err() && parse("two words", NOW).is_err());
        assert!(read("/nonexistent/token").err().unwrap().contains("/nonexistent/token"));
    }
}
