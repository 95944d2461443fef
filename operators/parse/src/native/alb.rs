//! AWS Application Load Balancer access logs: space-separated columns, free text in double quotes, at least 25 of
//! them (later versions of the format only append). Classic and network load balancers write other, shorter formats;
//! those lines are not this type.
use super::columns::{Columns, Quotes, Request, float, host_port, int, list, text};
use super::{Native, NativeStream};
use crate::flat::FlatMap;
use model::time::rfc3339_ns;

/// `AWS.ALB`.
pub struct Alb;

impl Native for Alb {
    fn name(&self) -> &'static str {
        "alb"
    }
    fn new_stream(&self) -> Box<dyn NativeStream> {
        Box::new(Alb)
    }
}

impl NativeStream for Alb {
    fn parse(&mut self, line: &str, _header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        let mut c = Columns::new(line, Quotes::Escaped);
        text(out, "type", c.column("type")?);
        let time = c.column("time")?;
        rfc3339_ns(time).ok_or("column `time` is not an RFC 3339 time")?;
        out.put("timestamp", time);
        text(out, "elb", c.column("elb")?);
        host_port(out, "clientIp", "clientPort", c.column("client:port")?);
        host_port(out, "targetIp", "targetPort", c.column("target:port")?);
        for name in ["requestProcessingTime", "targetProcessingTime", "responseProcessingTime"] {
            float(out, name, c.column(name)?);
        }
        for name in ["elbStatusCode", "targetStatusCode", "receivedBytes", "sentBytes"] {
            int(out, name, c.column(name)?);
        }
        let request = Request::split(c.column("request")?);
        text(out, "requestHttpMethod", request.method);
        text(out, "requestUrl", request.target);
        text(out, "requestHttpVersion", request.version);
        for name in
            ["userAgent", "sslCipher", "sslProtocol", "targetGroupArn", "traceId", "domainName", "chosenCertArn"]
        {
            text(out, name, c.column(name)?);
        }
        int(out, "matchedRulePriority", c.column("matched_rule_priority")?);
        text(out, "requestCreationTime", c.column("request_creation_time")?);
        let actions = c.column("actions_executed")?;
        list(out, "actionsExecuted", actions.split(',').filter(|a| *a != "-"));
        text(out, "redirectUrl", c.column("redirect_url")?);
        text(out, "errorReason", c.column("error_reason")?);
        appended(&mut c, out)?;
        Ok(Some(()))
    }
}

/// Columns that later versions of the format appended; older files end before them.
fn appended(c: &mut Columns, out: &mut FlatMap) -> Result<(), String> {
    for name in ["targetPortList", "targetStatusCodeList"] {
        let Some(value) = c.next_column()? else { return Ok(()) };
        list(out, name, value.split(' ').filter(|v| *v != "-"));
    }
    for name in [
        "classification",
        "classificationReason",
        "connTraceId",
        "transformedHost",
        "transformedUri",
        "requestTransformStatus",
    ] {
        let Some(value) = c.next_column()? else { return Ok(()) };
        text(out, name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{field, parse};
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = r#"h2 2026-03-01T09:15:22.104233Z app/web/50dc6c495c0c9188 [2001:db8::7]:55012 10.0.1.20:8443 0.001 -1 0.000 502 - 34 366 "GET https://shop.example.com:443/a b?q=%22 HTTP/2.0" "curl/8.4 (\"quoted\")" TLS_AES_128_GCM_SHA256 TLSv1.3 arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/web/73e2d6bc24d8a067 "Root=1-65e1a2b3-0123456789abcdef01234567" "shop.example.com" "session-reused" 3 2026-03-01T09:15:22.101000Z "waf,forward" "-" "-""#;

    #[test]
    fn reads_the_25_columns() {
        let f = parse(&Alb, LINE).unwrap().unwrap();
        for (name, want) in [
            ("clientIp", "2001:db8::7"),
            ("clientPort", "55012"),
            ("targetProcessingTime", "-1"),
            ("requestUrl", "https://shop.example.com:443/a b?q=%22"),
            ("requestHttpVersion", "HTTP/2.0"),
            ("userAgent", r#"curl/8.4 (\"quoted\")"#),
            ("actionsExecuted", r#"["waf","forward"]"#),
        ] {
            assert_eq!(field(&f, name), Some(want), "{name}");
        }
        assert_eq!(field(&f, "targetStatusCode"), None);
        assert_eq!(field(&f, "errorReason"), None);
    }

    #[test]
    fn other_load_balancers_are_not_this_type() {
        for line in [
            r#"2026-03-01T23:39:43.945958Z classic 192.0.2.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -"#,
            "tls 2.0 2026-04-01T08:51:42 net/nlb/c6e77e28c25b2234 g3d4b5e8bb8464cd 192.0.2.154:51341 10.0.0.5:443 5 2 98 246 - - - ECDHE tlsv12 - nlb.example.com h2 h2 \"h2\" x x x x",
            r#"{"type":"https"}"#,
        ] {
            assert!(parse(&Alb, line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn mutated_lines_never_panic(at in 0..LINE.len(), with in "\\PC{0,3}") {
            let line = format!("{}{with}{}", &LINE[..at], &LINE[at..]);
            let _ = parse(&Alb, &line);
            let _ = parse(&Alb, &LINE[..at]);
        }
    }
}
