//! AWS S3 server access logs: space-separated columns, the time in brackets, request, referrer and user agent in
//! quotes that are not escaped inside. Columns after the TLS version are kept as a list: the format only appends.
use super::columns::{Columns, Quotes, int, list, text};
use super::{Native, NativeStream, clock};
use crate::flat::FlatMap;

/// `AWS.S3ServerAccess`.
pub struct S3Access;

impl Native for S3Access {
    fn name(&self) -> &'static str {
        "s3_access"
    }
    fn new_stream(&self) -> Box<dyn NativeStream> {
        Box::new(S3AccessStream::default())
    }
}

#[derive(Default)]
struct S3AccessStream {
    time: String,
}

impl NativeStream for S3AccessStream {
    fn parse(&mut self, line: &str, _header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        let mut c = Columns::new(line, Quotes::Bare);
        text(out, "bucketowner", c.column("bucket owner")?);
        text(out, "bucket", c.column("bucket")?);
        clock::httpd(c.bracketed("time")?, &mut self.time)
            .ok_or("column `time` is not like `06/Feb/2019:00:00:38 +0000`")?;
        out.put("time", &self.time);
        for name in ["remoteip", "requester", "requestid", "operation", "key", "requesturi"] {
            text(out, name, c.column(name)?);
        }
        int(out, "httpstatus", c.column("httpstatus")?);
        text(out, "errorcode", c.column("errorcode")?);
        for name in ["bytessent", "objectsize", "totaltime", "turnaroundtime"] {
            int(out, name, c.column(name)?);
        }
        for name in [
            "referrer",
            "useragent",
            "versionid",
            "hostid",
            "signatureversion",
            "ciphersuite",
            "authenticationtype",
            "hostheader",
            "tlsVersion",
        ] {
            text(out, name, c.column(name)?);
        }
        let mut more = Vec::new();
        while let Some(value) = c.next_column()? {
            more.push(value);
        }
        list(out, "additionalFields", more);
        Ok(Some(()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{field, parse};
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = r#"79a59df9 logs-bucket [06/Feb/2026:00:00:38 +0000] 192.0.2.3 arn:aws:iam::111122223333:user/ann 3E57427F3EXAMPLE REST.GET.OBJECT a%2520b.txt "GET /logs-bucket/a%20b.txt HTTP/1.1" 404 NoSuchKey 297 - 38 - "https://example.com/"x"" "aws-cli "2"" - aBc= SigV4 ECDHE AuthHeader logs-bucket.s3.amazonaws.com TLSv1.2 - Yes"#;

    #[test]
    fn reads_bracketed_time_bare_quotes_and_what_was_appended() {
        let f = parse(&S3Access, LINE).unwrap().unwrap();
        for (name, want) in [
            ("time", "2026-02-06T00:00:38+00:00"),
            ("requesturi", "GET /logs-bucket/a%20b.txt HTTP/1.1"),
            ("referrer", r#"https://example.com/"x""#),
            ("useragent", r#"aws-cli "2""#),
            ("totaltime", "38"),
            ("tlsVersion", "TLSv1.2"),
            ("additionalFields", r#"["-","Yes"]"#),
        ] {
            assert_eq!(field(&f, name), Some(want), "{name}");
        }
        assert_eq!(field(&f, "objectsize"), None);
    }

    #[test]
    fn short_lines_and_other_times_are_refused() {
        let short = LINE.rsplit_once(" TLSv1.2").unwrap().0;
        assert!(parse(&S3Access, short).unwrap_err().contains("tlsVersion"));
        assert!(parse(&S3Access, &LINE.replace("06/Feb", "31/Feb")).unwrap_err().contains("time"));
        assert!(parse(&S3Access, &LINE.replace(['[', ']'], "")).is_err());
    }

    proptest! {
        #[test]
        fn mutated_lines_never_panic(at in 0..LINE.len(), with in "\\PC{0,3}") {
            let line = format!("{}{with}{}", &LINE[..at], &LINE[at..]);
            let _ = parse(&S3Access, &line);
            let _ = parse(&S3Access, &LINE[..at]);
        }
    }
}
