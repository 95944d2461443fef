//! TLS and the ways to log in, against a broker that asks for them.
use super::sink::{alerts, info, sink, start};
use super::*;
use serde_json::{Value as J, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tests::kafka::{Certificate, Setup, unique};

/// A token that says whose it is and until when it is good, and that nobody has signed: the broker's default accepts it.
fn token(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let claims = json!({"sub": "millstream", "iat": now - 10, "exp": now + seconds}).to_string();
    let base64url = |text: &str| {
        const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits: Vec<u8> = text.bytes().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1)).collect();
        let six = |c: &[u8]| (0..6).fold(0, |n, i| n << 1 | c.get(i).copied().unwrap_or(0) as usize);
        bits.chunks(6).map(|c| SIGNS[six(c)] as char).collect::<String>()
    };
    format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(&claims))
}

#[test]
fn tls_scram_and_tokens_let_us_in_and_what_is_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (dir.path().join("ours"), dir.path().join("other"));
    let [ours, other] = [ours, other].map(|d| {
        std::fs::create_dir(&d).unwrap();
        Certificate::new(&d, "127.0.0.1").unwrap()
    });
    let setup = Setup { certificate: Some(ours.clone()), ..Setup::new(1) };
    let broker = Broker::start_with(setup).unwrap();
    broker.create_user("millstream", "scram-secret").unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (good, expired) = (file("good.jwt", &token(3600)), file("expired.jwt", &token(-5)));
    let ca = ours.pem.display().to_string();
    let scram = |mechanism: &str, password: &str| json!({"protocol": "sasl_ssl", "ca_file": ca, "mechanism": mechanism, "username": "millstream", "password": password});
    let bearer =
        |file: &str| json!({"protocol": "sasl_ssl", "ca_file": ca, "mechanism": "OAUTHBEARER", "token_file": file});
    let topology = unique("secure");
    let open = |security: &J, shard: u32| {
        let brokers = if security["protocol"] == "ssl" { broker.tls() } else { broker.sasl_tls() };
        let settings = json!({"brokers": brokers, "topic": topology, "fields": ["d=dedup"], "partitions": 4, "security": security});
        sink(settings, &topology, "r", 1, shard)
    };
    let ways = [
        json!({"protocol": "ssl", "ca_file": ca}),
        scram("SCRAM-SHA-256", "scram-secret"),
        scram("SCRAM-SHA-512", "scram-secret"),
        bearer(&good),
    ];
    for (shard, security) in ways.iter().enumerate() {
        let mut s = open(security, shard as u32);
        start(&mut *s, None).unwrap_or_else(|e| panic!("{security}: {e}"));
        s.stage(&alerts(&[&shard.to_string()])).unwrap();
        s.commit(&info(1)).unwrap_or_else(|e| panic!("{security}: {e}"));
    }
    assert_eq!(texts(&broker, &topology), [0, 1, 2, 3].map(|n| format!("{{\"d\":\"{n}\"}}")));

    let wrong = [
        (scram("SCRAM-SHA-512", "wrong"), "auth"),
        (json!({"protocol": "ssl", "ca_file": other.pem.display().to_string()}), "certificate"),
        (bearer(&expired), "expired"),
    ];
    for (security, why) in wrong {
        let e = start(&mut *open(&security, 0), None).unwrap_err().to_string();
        assert!(e.contains("refuses") && e.to_lowercase().contains(why), "{security}: {e}");
    }
}
