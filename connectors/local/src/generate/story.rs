//! An attack in seven logs, told again in every cycle with another cast.
//!
//! A web server is scanned, root's SSH password is guessed; a user is worn down with MFA pushes and signs in through
//! Tor; the session makes a GitHub token, opens a repository and clones the rest; the keys found there open the AWS
//! account (console without MFA, a new access key, administrator rights, the trail stopped, a public bucket, every
//! secret read); the network is scanned from inside, data leaves in large flows and, slowly, over DNS.
//!
//! Attackers come from 203.0.113.0/24; .66 to .79 stand for Tor exits. All addresses are documentation ranges.
use super::noise::{ACCOUNTS, BROWSER, REPOS, USERS};
use super::random::Random;
use super::shape::{
    CloudTrail, Flow, Okta, dns as dns_line, github as github_line, iam_user, nginx as nginx_line,
    syslog as syslog_line,
};

pub(crate) const CLOUDTRAIL_STEPS: u64 = 36;
pub(crate) const OKTA_STEPS: u64 = 13;
pub(crate) const GITHUB_STEPS: u64 = 12;
pub(crate) const FLOW_STEPS: u64 = 128;
pub(crate) const NGINX_STEPS: u64 = 60;
pub(crate) const SYSLOG_STEPS: u64 = 51;
pub(crate) const DNS_STEPS: u64 = 80;

/// Who and what, this time.
pub(crate) struct Cast {
    seed: u64,
    cycle: u64,
    user: &'static str,
    tor: String,
    attacker: String,
    account: &'static str,
    repo: &'static str,
    host: &'static str,
    /// Address inside the network that the attacker works from.
    foothold: String,
    domain: String,
}

impl Cast {
    pub(crate) fn of(seed: u64, cycle: u64) -> Cast {
        let r = &mut Random::at(seed, u64::MAX, cycle);
        Cast {
            seed,
            cycle,
            user: r.pick(&USERS),
            tor: format!("203.0.113.{}", 66 + r.below(14)),
            attacker: format!("203.0.113.{}", 20 + r.below(40)),
            account: r.pick(&ACCOUNTS),
            repo: r.pick(&REPOS),
            host: r.pick(&["web-1", "web-2", "bastion-1"]),
            foothold: format!("10.0.{}.{}", r.below(8), 2 + r.below(250)),
            domain: format!("{}.example", r.pick(&["updates-cdn", "telemetry-sync", "static-edge", "img-cache"])),
        }
    }
    fn random(&self, kind: u64, step: u64) -> Random {
        Random::at(self.seed ^ self.cycle.rotate_left(32), !kind, step)
    }
}

pub(crate) fn nginx(c: &Cast, step: u64, ms: i64, out: &mut String) {
    const PATHS: [&str; 10] = [
        "/../../../../etc/passwd",
        "/cgi-bin/..%2f..%2f..%2fetc/shadow",
        "/.git/config",
        "/.env",
        "/wp-admin/setup-config.php",
        "/api/v1/users?id=1%20OR%201=1",
        "/static/..%5c..%5c..%5cwindows/win.ini",
        "/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/phpmyadmin/index.php",
        "/actuator/env",
    ];
    const AGENTS: [&str; 3] = [
        "sqlmap/1.8.4#stable (https://sqlmap.org)",
        "Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:000003)",
        "gobuster/3.6",
    ];
    let path = PATHS[(step % PATHS.len() as u64) as usize];
    let (status, bytes) = if step + 1 == NGINX_STEPS { (200, 1742) } else { (400 + (step % 5) as u16, 150) };
    nginx_line(ms, &c.attacker, &format!("GET {path} HTTP/1.1"), status, bytes, AGENTS[(step / 20) as usize % 3], out)
}

pub(crate) fn syslog(c: &Cast, step: u64, ms: i64, out: &mut String) {
    let verb = if step + 1 == SYSLOG_STEPS { "Accepted" } else { "Failed" };
    let message = format!("{verb} password for root from {} port {} ssh2", c.attacker, 33_000 + step * 7);
    syslog_line(ms, 38, c.host, "sshd", 9_000 + c.cycle % 20_000, &message, out)
}

pub(crate) fn okta(c: &Cast, step: u64, ms: i64, out: &mut String) {
    let (event, message, result, reason, target) = match step {
        0 => ("user.session.start", "User login to Okta", "SUCCESS", "", ""),
        1..8 => (
            "user.mfa.okta_verify.deny_push",
            "User rejected Okta push verify",
            "FAILURE",
            "User rejected Okta push verify",
            "",
        ),
        8 => ("user.authentication.auth_via_mfa", "Authentication of user via MFA", "SUCCESS", "", "OKTA_VERIFY_PUSH"),
        9 => ("user.session.start", "User login to Okta", "SUCCESS", "", ""),
        10 => (
            "user.mfa.factor.deactivate",
            "Reset factor for user",
            "SUCCESS",
            "User reset OKTA_VERIFY_PUSH factor",
            c.user,
        ),
        11 => ("user.account.privilege.grant", "Grant user privilege", "SUCCESS", "Super administrator", c.user),
        _ => ("system.api_token.create", "Create API token", "SUCCESS", "", "backup-sync"),
    };
    let id = c.random(1, step).uuid();
    Okta {
        ms,
        id,
        event,
        message,
        user: c.user,
        ip: &c.tor,
        country: "Germany",
        agent: "python-requests/2.32.3",
        result,
        reason,
        proxy: true,
        target,
    }
    .write(out)
}

pub(crate) fn github(c: &Cast, step: u64, ms: i64, out: &mut String) {
    let (action, more) = match step {
        0 => (
            "personal_access_token.access_granted",
            r#","operation_type":"create","programmatic_access_type":"Personal access token (classic)","token_scopes":"admin:org,repo""#,
        ),
        1 => ("org.update_member", r#","operation_type":"modify","permission":"admin","old_permission":"read""#),
        2 => ("protected_branch.destroy", r#","operation_type":"remove","name":"main","public_repo":false"#),
        3 => (
            "repo.access",
            r#","operation_type":"modify","visibility":"public","previous_visibility":"private","public_repo":true"#,
        ),
        _ => (
            "git.clone",
            r#","transport_protocol_name":"http","repository_public":false,"programmatic_access_type":"Personal access token (classic)""#,
        ),
    };
    let repo = if step < 4 { c.repo } else { REPOS[step as usize % REPOS.len()] };
    github_line(ms, &c.random(2, step).hex(22), action, c.user, &c.tor, repo, more, out)
}

/// `(service, event, read only, request parameters, response)` of the steps after the console login.
const CALLS: [(&str, &str, bool, &str, &str); 10] = [
    ("sts", "GetCallerIdentity", true, "null", "null"),
    ("iam", "ListUsers", true, r#"{"maxItems":1000}"#, "null"),
    ("iam", "ListAttachedUserPolicies", true, r#"{"userName":"svc-backup"}"#, "null"),
    ("iam", "CreateUser", false, r#"{"userName":"svc-sync"}"#, r#"{"user":{"userName":"svc-sync"}}"#),
    (
        "iam",
        "CreateAccessKey",
        false,
        r#"{"userName":"svc-sync"}"#,
        r#"{"accessKey":{"userName":"svc-sync","status":"Active","accessKeyId":"AKIAEXAMPLE2"}}"#,
    ),
    (
        "iam",
        "AttachUserPolicy",
        false,
        r#"{"userName":"svc-sync","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}"#,
        "null",
    ),
    ("cloudtrail", "StopLogging", false, r#"{"name":"arn:aws:cloudtrail:us-east-1:111122223333:trail/main"}"#, "null"),
    ("s3", "DeletePublicAccessBlock", false, r#"{"bucketName":"example-customer-exports"}"#, "null"),
    (
        "s3",
        "PutBucketPolicy",
        false,
        r#"{"bucketName":"example-customer-exports","bucketPolicy":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::example-customer-exports/*"}]}}"#,
        "null",
    ),
    (
        "ec2",
        "AuthorizeSecurityGroupIngress",
        false,
        r#"{"groupId":"sg-0a1b2c3d","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}"#,
        r#"{"_return":true}"#,
    ),
];

pub(crate) fn cloudtrail(c: &Cast, step: u64, ms: i64, out: &mut String) {
    let secret = format!(r#"{{"secretId":"prod/service-{step}/password"}}"#);
    let mut e = CloudTrail {
        ms,
        id: c.random(0, step).uuid(),
        service: "secretsmanager",
        name: "GetSecretValue",
        kind: "AwsApiCall",
        read_only: true,
        region: "us-east-1",
        account: c.account,
        ip: &c.tor,
        agent: "Boto3/1.34.131 md/Botocore#1.34.131 ua/2.0 os/linux lang/python#3.12.4",
        identity: iam_user(c.account, c.user),
        request: &secret,
        response: "null",
        more: "",
    };
    match step {
        0 => {
            (e.service, e.name, e.kind, e.read_only, e.agent) =
                ("signin", "ConsoleLogin", "AwsConsoleSignIn", false, BROWSER);
            (e.request, e.response) = ("null", r#"{"ConsoleLogin":"Success"}"#);
            e.more = r#","additionalEventData":{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No","MFAUsed":"No"}"#;
        }
        n if n as usize <= CALLS.len() => {
            (e.service, e.name, e.read_only, e.request, e.response) = CALLS[n as usize - 1]
        }
        _ => {}
    }
    e.write(out)
}

pub(crate) fn flow(c: &Cast, step: u64, ms: i64, out: &mut String) {
    const SCAN: u64 = 120;
    let target = format!("10.0.9.{}", 10 + c.cycle % 40);
    let scan = step < SCAN;
    let megabytes = 200 + c.random(3, step).below(600);
    Flow {
        ms,
        account: c.account,
        from: &c.foothold,
        to: if scan { &target } else { &c.attacker },
        ports: (51_000 + step, if scan { 20 + step * 8 } else { 443 }),
        protocol: 6,
        packets: if scan { 1 } else { megabytes * 700 },
        bytes: if scan { 40 } else { megabytes << 20 },
        accept: !scan,
    }
    .write(out)
}

pub(crate) fn dns(c: &Cast, step: u64, ms: i64, out: &mut String) {
    let mut r = c.random(6, step);
    let query = format!("{}.{}.{step}.{}", r.hex(32), r.hex(30), c.domain);
    let (id, answer) = (r.hex(16), r.hex(32));
    dns_line(ms, &id, &c.foothold, &query, (16, "TXT"), (0, "NOERROR"), &format!(r#"["TXT 32 {answer}"]"#), out)
}
