//! What lines of each log type look like. Values come from [`super::noise`] and [`super::story`].
use model::time::{civil, rfc3339_ms};
use std::fmt::Write;

/// A CloudTrail event.
pub(crate) struct CloudTrail<'a> {
    pub(crate) ms: i64,
    pub(crate) id: String,
    pub(crate) service: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) read_only: bool,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) ip: &'a str,
    pub(crate) agent: &'a str,
    /// `userIdentity`, JSON.
    pub(crate) identity: String,
    /// `requestParameters`, JSON.
    pub(crate) request: &'a str,
    /// `responseElements`, JSON.
    pub(crate) response: &'a str,
    /// More fields, JSON members each behind a comma.
    pub(crate) more: &'a str,
}

impl CloudTrail<'_> {
    pub(crate) fn write(&self, out: &mut String) {
        let CloudTrail {
            ms,
            id,
            service,
            name,
            kind,
            read_only,
            region,
            account,
            ip,
            agent,
            identity,
            request,
            response,
            more,
        } = self;
        let time = &rfc3339_ms(*ms)[..19];
        let _ = write!(
            out,
            r#"{{"eventVersion":"1.09","userIdentity":{identity},"eventTime":"{time}Z","eventSource":"{service}.amazonaws.com","eventName":"{name}","awsRegion":"{region}","sourceIPAddress":"{ip}","userAgent":"{agent}","requestParameters":{request},"responseElements":{response},"requestID":"{id}","eventID":"{id}","readOnly":{read_only},"eventType":"{kind}","managementEvent":true,"recipientAccountId":"{account}"{more}}}"#
        );
    }
}

/// `userIdentity` of an IAM user.
pub(crate) fn iam_user(account: &str, user: &str) -> String {
    format!(
        r#"{{"type":"IAMUser","principalId":"AIDA{0}EXAMPLE","arn":"arn:aws:iam::{account}:user/{user}","accountId":"{account}","accessKeyId":"AKIA{0}EXAMPLE","userName":"{user}"}}"#,
        user.to_uppercase().replace('.', "")
    )
}

/// `userIdentity` of an assumed role.
pub(crate) fn assumed_role(account: &str, role: &str, session: &str, mfa: bool) -> String {
    format!(
        r#"{{"type":"AssumedRole","principalId":"AROAEXAMPLE:{session}","arn":"arn:aws:sts::{account}:assumed-role/{role}/{session}","accountId":"{account}","accessKeyId":"ASIAEXAMPLE","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::{account}:role/{role}","accountId":"{account}","userName":"{role}"}},"attributes":{{"mfaAuthenticated":"{mfa}"}}}}}}"#
    )
}

/// An Okta event.
pub(crate) struct Okta<'a> {
    pub(crate) ms: i64,
    pub(crate) id: String,
    pub(crate) event: &'a str,
    pub(crate) message: &'a str,
    pub(crate) user: &'a str,
    pub(crate) ip: &'a str,
    pub(crate) country: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) result: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) proxy: bool,
    /// Name of the target, empty for none.
    pub(crate) target: &'a str,
}

impl Okta<'_> {
    pub(crate) fn write(&self, out: &mut String) {
        let Okta { ms, id, event, message, user, ip, country, agent, result, reason, proxy, target } = self;
        let time = rfc3339_ms(*ms);
        let targets = match target.is_empty() {
            true => "[]".to_string(),
            false => format!(
                r#"[{{"id":"00t{}","type":"AppInstance","alternateId":"{target}","displayName":"{target}"}}]"#,
                target.len()
            ),
        };
        let severity = if *result == "SUCCESS" || *result == "ALLOW" { "INFO" } else { "WARN" };
        let _ = write!(
            out,
            r#"{{"uuid":"{id}","published":"{time}","eventType":"{event}","version":"0","severity":"{severity}","displayMessage":"{message}","actor":{{"id":"00u{user}","type":"User","alternateId":"{user}@example.com","displayName":"{user}"}},"client":{{"userAgent":{{"rawUserAgent":"{agent}","os":"Unknown","browser":"UNKNOWN"}},"zone":"null","device":"Computer","ipAddress":"{ip}","geographicalContext":{{"country":"{country}"}}}},"outcome":{{"result":"{result}","reason":"{reason}"}},"target":{targets},"transaction":{{"type":"WEB","id":"{id}"}},"debugContext":{{"debugData":{{"requestUri":"/api/v1/authn"}}}},"authenticationContext":{{"authenticationStep":0,"externalSessionId":"idx{}"}},"securityContext":{{"isProxy":{proxy}}},"request":{{"ipChain":[{{"ip":"{ip}","version":"V4"}}]}}}}"#,
            &id[..8]
        );
    }
}

/// A GitHub audit event; `more` are JSON members each behind a comma.
pub(crate) fn github(ms: i64, id: &str, action: &str, actor: &str, ip: &str, repo: &str, more: &str, out: &mut String) {
    let _ = write!(
        out,
        r#"{{"@timestamp":{ms},"_document_id":"{id}","action":"{action}","actor":"{actor}","actor_ip":"{ip}","actor_location":{{"country_code":"DE"}},"business":"example-corp","created_at":{ms},"org":"example","repo":"example/{repo}"{more}}}"#
    );
}

/// A flow record, version 2.
pub(crate) struct Flow<'a> {
    pub(crate) ms: i64,
    pub(crate) account: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) ports: (u64, u64),
    pub(crate) protocol: u8,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) accept: bool,
}

impl Flow<'_> {
    pub(crate) fn write(&self, out: &mut String) {
        let Flow { ms, account, from, to, ports, protocol, packets, bytes, accept } = self;
        let (end, action) = (ms / 1000, if *accept { "ACCEPT" } else { "REJECT" });
        let (start, sp, dp) = (end - 59, ports.0, ports.1);
        let _ = write!(
            out,
            "2 {account} eni-0a1b2c3d4e5f60718 {from} {to} {sp} {dp} {protocol} {packets} {bytes} {start} {end} {action} OK"
        );
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A request in Nginx's combined format.
pub(crate) fn nginx(ms: i64, ip: &str, request: &str, status: u16, bytes: u64, agent: &str, out: &mut String) {
    let (y, m, d) = civil(ms.div_euclid(86_400_000));
    let (month, clock) = (MONTHS[m as usize - 1], clock(ms));
    let _ = write!(out, r#"{ip} - - [{d:02}/{month}/{y}:{clock} +0000] "{request}" {status} {bytes} "-" "{agent}""#);
}

/// A BSD syslog line; `priority` is facility times 8 plus severity.
pub(crate) fn syslog(ms: i64, priority: u8, host: &str, program: &str, pid: u64, message: &str, out: &mut String) {
    let (_, m, d) = civil(ms.div_euclid(86_400_000));
    let (month, clock) = (MONTHS[m as usize - 1], clock(ms));
    let _ = write!(out, "<{priority}>{month} {d:>2} {clock} {host} {program}[{pid}]: {message}");
}

fn clock(ms: i64) -> String {
    let t = ms.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", t / 3600, t / 60 % 60, t % 60)
}

/// A DNS query as Zeek logs it; `answers` is a JSON array.
pub(crate) fn dns(
    ms: i64,
    id: &str,
    client: &str,
    query: &str,
    qtype: (u16, &str),
    rcode: (u16, &str),
    answers: &str,
    out: &mut String,
) {
    let _ = write!(
        out,
        r#"{{"ts":{}.{:03},"uid":"C{id}","id.orig_h":"{client}","id.orig_p":{},"id.resp_h":"10.0.0.2","id.resp_p":53,"proto":"udp","trans_id":{},"query":"{query}","qclass":1,"qclass_name":"C_INTERNET","qtype":{},"qtype_name":"{}","rcode":{},"rcode_name":"{}","AA":false,"TC":false,"RD":true,"RA":true,"Z":0,"answers":{answers},"rejected":false}}"#,
        ms.div_euclid(1000),
        ms.rem_euclid(1000),
        32_768 + ms.rem_euclid(28_000),
        ms.rem_euclid(65_536),
        qtype.0,
        qtype.1,
        rcode.0,
        rcode.1
    );
}
