//! Indicators: values that mean the same in every log type (addresses, hashes, users, AWS names), gathered from the
//! marked fields into the `p_any_*` fields (functional spec §2.3).
use crate::found::Found;
use std::net::IpAddr;

/// A `p_any_*` field, in order of name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Any {
    /// `p_any_actor_ids`
    ActorIds,
    /// `p_any_aws_account_ids`
    AwsAccountIds,
    /// `p_any_aws_arns`
    AwsArns,
    /// `p_any_aws_instance_ids`
    AwsInstanceIds,
    /// `p_any_aws_tags`
    AwsTags,
    /// `p_any_domain_names`
    DomainNames,
    /// `p_any_emails`
    Emails,
    /// `p_any_ip_addresses`
    IpAddresses,
    /// `p_any_mac_addresses`
    MacAddresses,
    /// `p_any_md5_hashes`
    Md5Hashes,
    /// `p_any_serial_numbers`
    SerialNumbers,
    /// `p_any_sha1_hashes`
    Sha1Hashes,
    /// `p_any_sha256_hashes`
    Sha256Hashes,
    /// `p_any_trace_ids`
    TraceIds,
    /// `p_any_usernames`
    Usernames,
}

impl Any {
    /// All of them with their names, in order.
    pub const NAMES: [(&'static str, Any); 15] = [
        ("p_any_actor_ids", Any::ActorIds),
        ("p_any_aws_account_ids", Any::AwsAccountIds),
        ("p_any_aws_arns", Any::AwsArns),
        ("p_any_aws_instance_ids", Any::AwsInstanceIds),
        ("p_any_aws_tags", Any::AwsTags),
        ("p_any_domain_names", Any::DomainNames),
        ("p_any_emails", Any::Emails),
        ("p_any_ip_addresses", Any::IpAddresses),
        ("p_any_mac_addresses", Any::MacAddresses),
        ("p_any_md5_hashes", Any::Md5Hashes),
        ("p_any_serial_numbers", Any::SerialNumbers),
        ("p_any_sha1_hashes", Any::Sha1Hashes),
        ("p_any_sha256_hashes", Any::Sha256Hashes),
        ("p_any_trace_ids", Any::TraceIds),
        ("p_any_usernames", Any::Usernames),
    ];

    /// By field name.
    pub fn parse(name: &str) -> Option<Any> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, a)| *a)
    }

    /// Field name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// What finds an indicator in a string; the name in `indicators:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanner {
    /// An IP address.
    Ip,
    /// Every IP address in free text.
    IpsInText,
    /// A domain name.
    Domain,
    /// An IP address or else a domain name.
    Hostname,
    /// The host of a URL.
    Url,
    /// `host:port`.
    NetAddr,
    /// 32 hex digits.
    Md5,
    /// 40 hex digits.
    Sha1,
    /// 64 hex digits.
    Sha256,
    /// An e-mail address.
    Email,
    /// A user name.
    Username,
    /// A trace id.
    TraceId,
    /// An ARN with the account, instance and user in it.
    AwsArn,
    /// An ARN alone.
    AwsArnOnly,
    /// 12 digits.
    AwsAccountId,
    /// `i-…`
    AwsInstanceId,
    /// `key:value`
    AwsTag,
    /// Id of whoever acted.
    ActorId,
    /// A MAC address.
    Mac,
    /// A serial number.
    SerialNumber,
}

impl Scanner {
    /// Names in the schema language.
    pub const NAMES: [(&'static str, Scanner); 20] = [
        ("ip", Scanner::Ip),
        ("ips_in_text", Scanner::IpsInText),
        ("domain", Scanner::Domain),
        ("hostname", Scanner::Hostname),
        ("url", Scanner::Url),
        ("net_addr", Scanner::NetAddr),
        ("md5", Scanner::Md5),
        ("sha1", Scanner::Sha1),
        ("sha256", Scanner::Sha256),
        ("email", Scanner::Email),
        ("username", Scanner::Username),
        ("trace_id", Scanner::TraceId),
        ("aws_arn", Scanner::AwsArn),
        ("aws_arn_only", Scanner::AwsArnOnly),
        ("aws_account_id", Scanner::AwsAccountId),
        ("aws_instance_id", Scanner::AwsInstanceId),
        ("aws_tag", Scanner::AwsTag),
        ("actor_id", Scanner::ActorId),
        ("mac", Scanner::Mac),
        ("serial_number", Scanner::SerialNumber),
    ];

    /// By name.
    pub fn parse(name: &str) -> Option<Scanner> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, s)| *s)
    }

    /// The fields this scanner can write to, as a bit set (`1 << Any`).
    pub fn writes(self) -> u16 {
        let set = |list: &[Any]| list.iter().fold(0, |m, a| m | 1 << *a as u16);
        match self {
            Scanner::Ip | Scanner::IpsInText => set(&[Any::IpAddresses]),
            Scanner::Domain => set(&[Any::DomainNames]),
            Scanner::Hostname | Scanner::Url | Scanner::NetAddr => set(&[Any::IpAddresses, Any::DomainNames]),
            Scanner::Md5 => set(&[Any::Md5Hashes]),
            Scanner::Sha1 => set(&[Any::Sha1Hashes]),
            Scanner::Sha256 => set(&[Any::Sha256Hashes]),
            Scanner::Email => set(&[Any::Emails]),
            Scanner::Username => set(&[Any::Usernames]),
            Scanner::TraceId => set(&[Any::TraceIds]),
            Scanner::AwsArn => set(&[Any::AwsArns, Any::AwsAccountIds, Any::AwsInstanceIds, Any::Emails]),
            Scanner::AwsArnOnly => set(&[Any::AwsArns]),
            Scanner::AwsAccountId => set(&[Any::AwsAccountIds]),
            Scanner::AwsInstanceId => set(&[Any::AwsInstanceIds]),
            Scanner::AwsTag => set(&[Any::AwsTags]),
            Scanner::ActorId => set(&[Any::ActorIds]),
            Scanner::Mac => set(&[Any::MacAddresses]),
            Scanner::SerialNumber => set(&[Any::SerialNumbers]),
        }
    }
}

/// Fields that the search through AWS JSON can write to.
pub const AWS_WRITES: u16 = 1 << Any::AwsArns as u16
    | 1 << Any::AwsAccountIds as u16
    | 1 << Any::AwsInstanceIds as u16
    | 1 << Any::AwsTags as u16
    | 1 << Any::Emails as u16
    | 1 << Any::IpAddresses as u16
    | 1 << Any::DomainNames as u16;

impl Found {
    /// Run a scanner over a string.
    pub fn scan(&mut self, scanner: Scanner, text: &str) {
        let t = text.trim();
        if t.is_empty() || !self.wants(scanner.writes()) {
            return;
        }
        match scanner {
            Scanner::Ip if is_ip(t) => self.put(Any::IpAddresses, t),
            Scanner::Ip => {}
            Scanner::IpsInText => ips_in_text(t).for_each(|ip| self.put(Any::IpAddresses, ip)),
            Scanner::Domain => self.domain(t),
            Scanner::Hostname => self.hostname(t),
            Scanner::Url => self.hostname(url_host(t).unwrap_or_default()),
            Scanner::NetAddr => self.hostname(host_port(t)),
            Scanner::Md5 => self.hash(Any::Md5Hashes, t, 32),
            Scanner::Sha1 => self.hash(Any::Sha1Hashes, t, 40),
            Scanner::Sha256 => self.hash(Any::Sha256Hashes, t, 64),
            Scanner::Email if t.contains('@') => self.put(Any::Emails, t),
            Scanner::Email => {}
            Scanner::Username => self.put(Any::Usernames, t),
            Scanner::TraceId => self.put(Any::TraceIds, t),
            Scanner::AwsArn => self.arn(t, true),
            Scanner::AwsArnOnly => self.arn(t, false),
            Scanner::AwsAccountId if is_account(t) => self.put(Any::AwsAccountIds, t),
            Scanner::AwsAccountId => {}
            Scanner::AwsInstanceId if t.starts_with("i-") => self.put(Any::AwsInstanceIds, t),
            Scanner::AwsInstanceId => {}
            Scanner::AwsTag => self.put(Any::AwsTags, t),
            Scanner::ActorId => self.put(Any::ActorIds, t),
            Scanner::Mac => self.put(Any::MacAddresses, t),
            Scanner::SerialNumber => self.put(Any::SerialNumbers, t),
        }
    }

    fn domain(&mut self, t: &str) {
        match memchr::memmem::find(t.as_bytes(), b"xn--").is_some() {
            true => self.put(Any::DomainNames, &crate::punycode::to_unicode(t)),
            false => self.put(Any::DomainNames, t),
        }
    }

    fn hostname(&mut self, t: &str) {
        if is_ip(t) { self.put(Any::IpAddresses, t) } else { self.domain(t) }
    }

    fn hash(&mut self, field: Any, t: &str, len: usize) {
        if t.len() == len && t.bytes().all(|b| b.is_ascii_hexdigit()) {
            self.put(field, &t.to_ascii_lowercase());
        }
    }

    /// `arn:partition:service:region:account:resource`
    fn arn(&mut self, t: &str, parts: bool) {
        let Some(rest) = t.strip_prefix("arn:") else { return };
        let mut colons = memchr::memchr_iter(b':', rest.as_bytes());
        let (Some(_), Some(_), Some(region), Some(owner)) =
            (colons.next(), colons.next(), colons.next(), colons.next())
        else {
            return;
        };
        let (account, resource) = (&rest[region + 1..owner], &rest[owner + 1..]);
        self.put(Any::AwsArns, t);
        if !parts {
            return;
        }
        if is_account(account) {
            self.put(Any::AwsAccountIds, account);
        }
        if let Some(id) = resource.strip_prefix("instance/").filter(|i| i.starts_with("i-")) {
            self.put(Any::AwsInstanceIds, id);
        }
        let session = resource.strip_prefix("assumed-role/").and_then(|r| r.rsplit_once('/')).map(|(_, s)| s);
        if let Some(email) = session.filter(|s| s.contains('@')) {
            self.put(Any::Emails, email);
        }
    }

    /// An AWS tag.
    pub fn tag(&mut self, key: &str, value: &str) {
        if !key.is_empty() {
            self.put(Any::AwsTags, &format!("{key}:{value}"));
        }
    }
}

fn is_ip(t: &str) -> bool {
    t.parse::<IpAddr>().is_ok()
}

/// IP addresses that stand alone between other characters; `192.0.2.1:80` and `[2001:db8::1]:80` give theirs. An IPv6
/// address needs a hex digit, so that the `::` of program text is none.
fn ips_in_text(t: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == ':';
    t.split(move |c| !part(c)).filter_map(|word| {
        let word = word.trim_end_matches('.');
        let word = word.strip_suffix(':').filter(|w| !w.ends_with(':')).unwrap_or(word);
        let ip = if word.contains("::") { word } else { host_port(word) };
        (ip.bytes().any(|b| b.is_ascii_hexdigit()) && is_ip(ip)).then_some(ip)
    })
}

fn is_account(t: &str) -> bool {
    t.len() == 12 && t.bytes().all(|b| b.is_ascii_digit())
}

/// Host of `scheme://user@host:port/path`.
fn url_host(t: &str) -> Option<&str> {
    let (_, rest) = t.split_once("//")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    // What follows a lone colon is the port, also where it is no number (`http://192.0.2.1:80-` of a bad request).
    Some(match host.split_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(':') && !host.starts_with('[') => host,
        _ => host_port(host),
    })
}

/// Host of `host:port`, `[v6]:port`, or a host alone.
fn host_port(t: &str) -> &str {
    if let Some(inner) = t.strip_prefix('[').and_then(|r| r.split_once(']')) {
        return inner.0;
    }
    match t.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => t,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_free_text() {
        let text = "Failed from 192.0.2.1 port 22, (198.51.100.7:443) via [2001:db8::1]:80; v1.2.3 at 10.0.0.1. \
                    gw=203.0.113.9: ok, std::vec :: 1::x fe80::1. 256.1.1.1 192.0.2.1.5 <192.0.2.8>";
        let got: Vec<&str> = ips_in_text(text).collect();
        let want = ["192.0.2.1", "198.51.100.7", "2001:db8::1", "10.0.0.1", "203.0.113.9", "fe80::1", "192.0.2.8"];
        assert_eq!(got, want);
    }

    fn scan(s: Scanner, t: &str) -> Vec<(Any, Vec<String>)> {
        let mut f = Found::default();
        f.scan(s, t);
        f.finish()
    }
    fn one(a: Any, v: &str) -> Vec<(Any, Vec<String>)> {
        vec![(a, vec![v.into()])]
    }

    #[test]
    fn scanners_take_what_they_should() {
        assert_eq!(scan(Scanner::Ip, " 1.2.3.4 "), one(Any::IpAddresses, "1.2.3.4"));
        assert_eq!(scan(Scanner::Ip, "1.2.3"), vec![]);
        assert_eq!(scan(Scanner::Hostname, "2001:db8::1"), one(Any::IpAddresses, "2001:db8::1"));
        assert_eq!(scan(Scanner::Hostname, "example.com"), one(Any::DomainNames, "example.com"));
        assert_eq!(scan(Scanner::Domain, "xn--bcher-kva.example"), one(Any::DomainNames, "bücher.example"));
        assert_eq!(scan(Scanner::Url, "https://u:p@h.example:8443/x?y"), one(Any::DomainNames, "h.example"));
        assert_eq!(scan(Scanner::Url, "http://[::1]:80/"), one(Any::IpAddresses, "::1"));
        assert_eq!(scan(Scanner::Url, "not a url"), vec![]);
        assert_eq!(scan(Scanner::NetAddr, "10.0.0.1:22"), one(Any::IpAddresses, "10.0.0.1"));
        assert_eq!(scan(Scanner::NetAddr, "::1"), one(Any::IpAddresses, "::1"));
        assert_eq!(scan(Scanner::NetAddr, "db:5432"), one(Any::DomainNames, "db"));
        assert_eq!(scan(Scanner::Md5, &"AB".repeat(16)), one(Any::Md5Hashes, &"ab".repeat(16)));
        assert_eq!(scan(Scanner::Sha1, &"AB".repeat(16)), vec![]);
        assert_eq!(scan(Scanner::Sha256, &"0f".repeat(32)), one(Any::Sha256Hashes, &"0f".repeat(32)));
        assert_eq!(scan(Scanner::Email, "a@b"), one(Any::Emails, "a@b"));
        assert_eq!(scan(Scanner::Email, "ab"), vec![]);
        assert_eq!(scan(Scanner::AwsAccountId, "123456789012"), one(Any::AwsAccountIds, "123456789012"));
        assert_eq!(scan(Scanner::AwsAccountId, "12345678901x"), vec![]);
        assert_eq!(scan(Scanner::AwsInstanceId, "i-0ab"), one(Any::AwsInstanceIds, "i-0ab"));
        assert_eq!(scan(Scanner::Username, "  "), vec![]);
    }

    #[test]
    fn an_arn_gives_its_parts() {
        let arn = "arn:aws:sts::123456789012:assumed-role/Admin/jo@example.com";
        let got = scan(Scanner::AwsArn, arn);
        let want = [(Any::AwsAccountIds, "123456789012"), (Any::AwsArns, arn), (Any::Emails, "jo@example.com")];
        assert_eq!(got, want.map(|(a, v)| (a, vec![v.to_string()])));
        assert_eq!(scan(Scanner::AwsArnOnly, arn), one(Any::AwsArns, arn));
        let ec2 = "arn:aws:ec2:us-east-1:123456789012:instance/i-1";
        assert!(scan(Scanner::AwsArn, ec2).contains(&(Any::AwsInstanceIds, vec!["i-1".into()])));
        assert_eq!(scan(Scanner::AwsArn, "arn:aws:s3"), vec![]);
    }

    #[test]
    fn values_are_sorted_and_unique() {
        let mut f = Found::default();
        for ip in ["2.2.2.2", "1.1.1.1", "2.2.2.2"] {
            f.scan(Scanner::Ip, ip);
        }
        assert_eq!(f.finish(), vec![(Any::IpAddresses, vec!["1.1.1.1".into(), "2.2.2.2".into()])]);
        let mut f = Found::only(Any::Emails);
        f.scan(Scanner::Ip, "1.1.1.1");
        assert_eq!(f.finish(), vec![]);
    }

    #[test]
    fn names_match_the_order() {
        for (i, (name, any)) in Any::NAMES.iter().enumerate() {
            assert_eq!((*any as usize, any.name()), (i, *name));
            assert!(i == 0 || Any::NAMES[i - 1].0 < *name);
        }
    }
}
