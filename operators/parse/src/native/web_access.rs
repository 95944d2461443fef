//! Access logs of web servers in the combined format:
//! `host ident user [time] "request" status size "referer" "user agent"`, as Apache and Nginx write it.
//!
//! The two differ in what may stand before the time. Apache may put the virtual host first (`vhost_combined`). Nginx
//! users put the `X-Forwarded-For` list before or in place of the peer's address, or in a last quoted column (the
//! `main` format of nginx.conf). Values are kept as logged, with the server's own escapes.
use super::columns::{Columns, Quotes, Request, int, list, text};
use super::{Native, NativeStream, clock};
use crate::flat::FlatMap;

/// `Apache.AccessCombined`.
pub struct ApacheCombined;

/// `Nginx.Access`.
pub struct NginxAccess;

impl Native for ApacheCombined {
    fn name(&self) -> &'static str {
        "apache_combined"
    }
    fn new_stream(&self) -> Box<dyn NativeStream> {
        Box::new(ApacheStream::default())
    }
}

impl Native for NginxAccess {
    fn name(&self) -> &'static str {
        "nginx_access"
    }
    fn new_stream(&self) -> Box<dyn NativeStream> {
        Box::new(NginxStream::default())
    }
}

#[derive(Default)]
struct ApacheStream {
    time: String,
}

#[derive(Default)]
struct NginxStream {
    time: String,
}

impl NativeStream for ApacheStream {
    fn parse(&mut self, line: &str, _header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        let (who, rest) = split_at_time(line, &mut self.time)?;
        apache_client(who, out)?;
        out.put("request_time", &self.time);
        let mut c = Columns::new(rest, Quotes::Escaped);
        let request = Request::split(quoted(&mut c, "request")?);
        text(out, "request_method", request.method);
        text(out, "request_uri", request.target);
        text(out, "request_protocol", request.version);
        int(out, "response_status", c.column("status")?);
        int(out, "response_size", c.column("size")?);
        text(out, "referer", quoted(&mut c, "referer")?);
        text(out, "user_agent", quoted(&mut c, "user agent")?);
        ended(&mut c)
    }
}

impl NativeStream for NginxStream {
    fn parse(&mut self, line: &str, _header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        let (who, rest) = split_at_time(line, &mut self.time)?;
        let forwarded = nginx_client(who, out)?;
        out.put("time", &self.time);
        let mut c = Columns::new(rest, Quotes::Escaped);
        text(out, "request", quoted(&mut c, "request")?);
        int(out, "status", c.column("status")?);
        int(out, "bodyBytesSent", c.column("body_bytes_sent")?);
        text(out, "httpReferer", quoted(&mut c, "http_referer")?);
        text(out, "httpUserAgent", quoted(&mut c, "http_user_agent")?);
        let forwarded = match forwarded {
            "" if !c.rest().is_empty() => quoted(&mut c, "http_x_forwarded_for")?,
            before => before,
        };
        list(out, "httpXForwardedFor", forwarded.split(',').map(str::trim).filter(|a| *a != "-"));
        ended(&mut c)
    }
}

/// Split a line at `[time]`: what stands before it, what stands after it; the time goes to `time` as RFC 3339.
fn split_at_time<'a>(line: &'a str, time: &mut String) -> Result<(&'a str, &'a str), String> {
    for at in memchr::memchr_iter(b'[', line.as_bytes()) {
        let Some((inner, rest)) = line[at + 1..].split_once(']') else { break };
        if clock::httpd(inner, time).is_some() {
            return Ok((line[..at].trim_end(), rest));
        }
    }
    Err("no time like `[17/May/2015:10:05:03 +0000]`".into())
}

/// `host ident user`, perhaps with `virtual.host:port` before it. A user name may hold spaces.
fn apache_client(who: &str, out: &mut FlatMap) -> Result<(), String> {
    let few = || "before the time there must be a host, an identity and a user".to_string();
    let (mut host, mut rest) = who.split_once(' ').ok_or_else(few)?;
    if let Some((vhost, port)) = host.rsplit_once(':')
        && (!vhost.contains(':') || vhost.ends_with(']'))
        && port.parse::<u16>().is_ok()
        && rest.split(' ').count() >= 3
    {
        text(out, "virtual_host", vhost);
        int(out, "virtual_port", port);
        (host, rest) = rest.split_once(' ').ok_or_else(few)?;
    }
    let (ident, user) = rest.split_once(' ').ok_or_else(few)?;
    text(out, "remote_host_ip_address", host);
    text(out, "client_identity_rfc_1413", ident);
    text(out, "request_user", user.trim_start());
    Ok(())
}

/// `address - user`, where the address may follow, or be, a list of forwarded addresses. Returns that list.
fn nginx_client<'a>(who: &'a str, out: &mut FlatMap) -> Result<&'a str, String> {
    let (addresses, user) = who.split_once(" - ").ok_or("before the time there must be an address, `-` and a user")?;
    let addresses = addresses.trim();
    let (before, last) = match addresses.strip_suffix('"').and_then(|a| a.rsplit_once('"')) {
        // Only a quoted list: its last address is the nearest.
        Some((_, list)) => (list, list.rsplit(',').next().unwrap_or(list).trim()),
        None => addresses.rsplit_once(' ').unwrap_or(("", addresses)),
    };
    if last.contains('"') {
        return Err("a quoted address list is not closed".into());
    }
    text(out, "remoteAddr", last);
    text(out, "remoteUser", user.trim());
    // `a, b c`: the list is `a, b`; `a, b, c`: the list is all of it.
    Ok(if before.trim_end().ends_with(',') { addresses } else { before.trim().trim_matches('"') })
}

/// A column that must be quoted: the format says so, and it tells a missing column from a shifted one.
fn quoted<'a>(c: &mut Columns<'a>, name: &str) -> Result<&'a str, String> {
    if !c.rest().trim_start_matches(' ').starts_with('"') {
        return Err(format!("column `{name}` is missing or not in quotes"));
    }
    c.column(name)
}

fn ended(c: &mut Columns) -> Result<Option<()>, String> {
    match c.next_column()? {
        None => Ok(Some(())),
        Some(more) => Err(format!("`{more}` follows the last column of this format")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{field, parse};
    use super::*;
    use proptest::prelude::*;

    const TAIL: &str = r#"[07/Dec/2026:11:05:07 +0100] "GET /a HTTP/1.1" 200 571 "-" "curl/8""#;

    #[test]
    fn apache_reads_hosts_users_and_virtual_hosts() {
        for (who, host, user, vhost) in [
            ("192.0.2.1 - -", "192.0.2.1", None, None),
            ("host.example.com - ann smith", "host.example.com", Some("ann smith"), None),
            ("www.example.com:443 192.0.2.1 - ann", "192.0.2.1", Some("ann"), Some("www.example.com")),
            ("2001:db8::1 - -", "2001:db8::1", None, None),
        ] {
            let f = parse(&ApacheCombined, &format!("{who} {TAIL}")).unwrap().unwrap();
            assert_eq!(field(&f, "remote_host_ip_address"), Some(host), "{who}");
            assert_eq!(field(&f, "request_user"), user, "{who}");
            assert_eq!(field(&f, "virtual_host"), vhost, "{who}");
            assert_eq!(field(&f, "request_time"), Some("2026-12-07T11:05:07+01:00"));
            assert_eq!(field(&f, "referer"), None);
        }
    }

    #[test]
    fn apache_keeps_quotes_inside_a_request() {
        let line = r#"192.0.2.1 - - [07/Dec/2026:11:05:07 +0100] "GET /x?<script>alert("a")</script> HTTP/1.0" 404 - "-" "a \"b\"""#;
        let f = parse(&ApacheCombined, line).unwrap().unwrap();
        assert_eq!(field(&f, "request_uri"), Some(r#"/x?<script>alert("a")</script>"#));
        assert_eq!(field(&f, "user_agent"), Some(r#"a \"b\""#));
        assert_eq!(field(&f, "response_size"), None);
    }

    #[test]
    fn apache_refuses_other_formats() {
        for line in [
            r#"192.0.2.1 - - [07/Dec/2026:11:05:07 +0100] "GET / HTTP/1.0" 404 116"#.to_string(),
            format!("192.0.2.1 - {TAIL}"),
            format!("192.0.2.1 - - {TAIL} 123 456"),
            format!("192.0.2.1 - - {}", TAIL.trim_end_matches('"')),
            format!("192.0.2.1 - - {}", TAIL.replace("Dec", "Dez")),
        ] {
            assert!(parse(&ApacheCombined, &line).is_err(), "{line}");
        }
    }

    #[test]
    fn nginx_reads_forwarded_addresses() {
        for (who, addr, forwarded) in [
            ("192.0.2.1", "192.0.2.1", None),
            ("10.0.0.2, 10.0.0.1, 192.0.2.1", "192.0.2.1", Some(r#"["10.0.0.2","10.0.0.1","192.0.2.1"]"#)),
            (r#""10.5.102.222, 198.51.100.1" 192.0.2.1"#, "192.0.2.1", Some(r#"["10.5.102.222","198.51.100.1"]"#)),
            ("2001:db8::1, 10.225.192.17 10.2.2.121", "10.2.2.121", Some(r#"["2001:db8::1","10.225.192.17"]"#)),
            (r#""198.51.100.1, 192.0.2.1""#, "192.0.2.1", Some(r#"["198.51.100.1","192.0.2.1"]"#)),
        ] {
            let f = parse(&NginxAccess, &format!("{who} - ann {TAIL}")).unwrap().unwrap();
            assert_eq!(field(&f, "remoteAddr"), Some(addr), "{who}");
            assert_eq!(field(&f, "httpXForwardedFor"), forwarded, "{who}");
            assert_eq!(field(&f, "remoteUser"), Some("ann"));
        }
        let f = parse(&NginxAccess, &format!("192.0.2.1 - - {TAIL} \"198.51.100.1\"")).unwrap().unwrap();
        assert_eq!(field(&f, "httpXForwardedFor"), Some(r#"["198.51.100.1"]"#));
        assert!(parse(&NginxAccess, &format!("192.0.2.1 - - {TAIL} \"-\" \"-\"")).is_err());
        assert!(parse(&NginxAccess, &format!("192.0.2.1 x - {TAIL}")).is_err());
    }

    #[test]
    fn nginx_reads_an_empty_request() {
        let f = parse(&NginxAccess, r#"127.0.0.1 - - [12/Apr/2026:09:48:40 +0200] "" 400 0 "-" "-""#).unwrap().unwrap();
        assert_eq!(field(&f, "request"), None);
        assert_eq!(field(&f, "status"), Some("400"));
    }

    proptest! {
        #[test]
        fn mutated_lines_never_panic(at in 0..TAIL.len(), who in "\\PC{0,12}|[0-9a., \"-]{0,24}", with in "\\PC{0,3}") {
            let line = format!("{who} {}{with}{}", &TAIL[..at], &TAIL[at..]);
            for cut in [&line[..], &line[..who.len() + at]] {
                let _ = parse(&ApacheCombined, cut.trim());
                let _ = parse(&NginxAccess, cut.trim());
            }
        }
    }
}
