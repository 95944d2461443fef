//! Ordinary days: what a company's logs hold when nothing is wrong, and a public web site's share of 404s.
//!
//! The 404s come from many clients asking for many paths, a different pair almost every time: grouped by client and
//! path they make an alert each, a thousand within seconds, which is what a storm limiter is for.
use super::random::Random;
use super::shape::{
    CloudTrail, Flow, Okta, assumed_role, dns as dns_line, github as github_line, iam_user, nginx as nginx_line,
    syslog as syslog_line,
};

pub(crate) const USERS: [&str; 24] = [
    "ann.archer",
    "ben.baker",
    "cleo.carter",
    "dan.dyer",
    "eva.ellis",
    "finn.fisher",
    "gwen.glover",
    "hugo.hill",
    "iris.ingram",
    "jack.joyner",
    "kira.knight",
    "leo.lister",
    "mia.mason",
    "noah.nash",
    "olga.osborn",
    "paul.porter",
    "quinn.quick",
    "rosa.reeve",
    "sam.smith",
    "tara.turner",
    "uma.usher",
    "vera.voss",
    "will.weaver",
    "zoe.zander",
];
pub(crate) const ACCOUNTS: [&str; 3] = ["111122223333", "444455556666", "777788889999"];
pub(crate) const REGIONS: [&str; 3] = ["us-east-1", "eu-central-1", "us-west-2"];
pub(crate) const REPOS: [&str; 6] = ["shop", "billing", "infra", "mobile", "docs", "data-pipeline"];
const ROLES: [&str; 5] = ["app-shop", "app-billing", "ci-deploy", "data-pipeline", "ops-readonly"];
const CLI: &str = "aws-cli/2.17.0 md/awscrt#0.20.11 ua/2.0 os/linux#6.1 lang/python#3.11.9";
const BOTO: &str = "Boto3/1.34.131 md/Botocore#1.34.131 ua/2.0 os/linux lang/python#3.12.4";
pub(crate) const BROWSER: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

/// `(service, event, read only, request parameters)`.
const CALLS: [(&str, &str, bool, &str); 14] = [
    (
        "ec2",
        "DescribeInstances",
        true,
        r#"{"instancesSet":{},"filterSet":{"items":[{"name":"tag:env","valueSet":{"items":[{"value":"prod"}]}}]}}"#,
    ),
    (
        "s3",
        "GetObject",
        true,
        r#"{"bucketName":"example-assets","key":"img/logo.svg","Host":"example-assets.s3.amazonaws.com"}"#,
    ),
    ("s3", "ListBuckets", true, "null"),
    (
        "s3",
        "PutObject",
        false,
        r#"{"bucketName":"example-logs","key":"app/2026/01.gz","Host":"example-logs.s3.amazonaws.com"}"#,
    ),
    (
        "sts",
        "AssumeRole",
        true,
        r#"{"roleArn":"arn:aws:iam::111122223333:role/ops-readonly","roleSessionName":"session","durationSeconds":3600}"#,
    ),
    ("sts", "GetCallerIdentity", true, "null"),
    ("iam", "GetUser", true, r#"{"userName":"svc-backup"}"#),
    (
        "kms",
        "Decrypt",
        true,
        r#"{"keyId":"arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d","encryptionAlgorithm":"SYMMETRIC_DEFAULT"}"#,
    ),
    ("logs", "CreateLogStream", false, r#"{"logGroupName":"/app/shop","logStreamName":"web-1"}"#),
    ("lambda", "GetFunction20150331v2", true, r#"{"functionName":"resize-image"}"#),
    ("dynamodb", "DescribeTable", true, r#"{"tableName":"sessions"}"#),
    ("autoscaling", "DescribeAutoScalingGroups", true, r#"{"maxRecords":100}"#),
    ("ecr", "GetAuthorizationToken", true, "null"),
    ("cloudformation", "DescribeStacks", true, r#"{"stackName":"shop-prod"}"#),
];

pub(crate) fn office_ip(r: &mut Random) -> String {
    format!("198.51.100.{}", 10 + r.below(200))
}

fn inner_ip(r: &mut Random) -> String {
    format!("10.0.{}.{}", r.below(8), 2 + r.below(250))
}

pub(crate) fn cloudtrail(r: &mut Random, ms: i64, out: &mut String) {
    let (account, user) = (r.pick(&ACCOUNTS), r.pick(&USERS));
    if r.chance(1) {
        return console_login(r, ms, account, user, out);
    }
    let (service, name, read_only, request) = CALLS[r.below(CALLS.len() as u64) as usize];
    let person = r.chance(25);
    let identity =
        if person { iam_user(account, user) } else { assumed_role(account, r.pick(&ROLES), "session", false) };
    let denied = r.chance(2);
    let ip = if person { office_ip(r) } else { inner_ip(r) };
    CloudTrail {
        ms,
        id: r.uuid(),
        service,
        name,
        kind: "AwsApiCall",
        read_only,
        region: r.pick(&REGIONS),
        account,
        ip: &ip,
        agent: if person { CLI } else { BOTO },
        identity,
        request,
        response: "null",
        more: if denied {
            r#","errorCode":"AccessDenied","errorMessage":"User is not authorized to perform this operation""#
        } else {
            ""
        },
    }
    .write(out)
}

fn console_login(r: &mut Random, ms: i64, account: &str, user: &str, out: &mut String) {
    let ip = office_ip(r);
    CloudTrail {
        ms,
        id: r.uuid(),
        service: "signin",
        name: "ConsoleLogin",
        kind: "AwsConsoleSignIn",
        read_only: false,
        region: "us-east-1",
        account,
        ip: &ip,
        agent: BROWSER,
        identity: iam_user(account, user),
        request: "null",
        response: r#"{"ConsoleLogin":"Success"}"#,
        more: r#","additionalEventData":{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No","MFAUsed":"Yes"}"#,
    }
    .write(out)
}

pub(crate) fn okta(r: &mut Random, ms: i64, out: &mut String) {
    let (user, ip, id) = (r.pick(&USERS), office_ip(r), r.uuid());
    let (event, message, result, reason, target) = match r.below(100) {
        0..40 => ("user.authentication.sso", "User single sign on to app", "SUCCESS", "", "GitHub"),
        40..60 => ("user.authentication.auth_via_mfa", "Authentication of user via MFA", "SUCCESS", "", ""),
        60..80 => ("user.session.start", "User login to Okta", "SUCCESS", "", ""),
        80..84 => ("user.session.start", "User login to Okta", "FAILURE", "INVALID_CREDENTIALS", ""),
        84..95 => (
            "policy.evaluate_sign_on",
            "Evaluation of sign-on policy",
            "ALLOW",
            "Sign-on policy evaluation resulted in ALLOW",
            "Office",
        ),
        _ => ("user.session.end", "User logout from Okta", "SUCCESS", "", ""),
    };
    Okta {
        ms,
        id,
        event,
        message,
        user,
        ip: &ip,
        country: "United States",
        agent: BROWSER,
        result,
        reason,
        proxy: false,
        target,
    }
    .write(out)
}

pub(crate) fn github(r: &mut Random, ms: i64, out: &mut String) {
    let (actor, ip, repo, id) = (r.pick(&USERS), office_ip(r), r.pick(&REPOS), r.hex(22));
    let (action, more) = match r.below(100) {
        0..40 => ("git.fetch", r#","transport_protocol_name":"ssh","repository_public":false"#),
        40..60 => ("git.push", r#","transport_protocol_name":"ssh","repository_public":false"#),
        60..75 => ("pull_request.merge", r#","public_repo":false,"operation_type":"modify""#),
        75..90 => (
            "workflows.completed_workflow_run",
            r#","conclusion":"success","event":"push","head_branch":"main","public_repo":false"#,
        ),
        90..97 => ("pull_request.create", r#","public_repo":false,"operation_type":"create""#),
        _ => ("repo.add_topic", r#","public_repo":false,"operation_type":"modify""#),
    };
    github_line(ms, &id, action, actor, &ip, repo, more, out)
}

pub(crate) fn flow(r: &mut Random, ms: i64, out: &mut String) {
    let (inside, outside) = (inner_ip(r), format!("192.0.2.{}", 1 + r.below(250)));
    let service = r.pick(&[&443u64, &443, &443, &80, &5432, &6379, &53]);
    let client = 32_768 + r.below(28_000);
    let packets = 1 + r.below(200);
    // Somebody always knocks.
    let knock = r.chance(5);
    let (from, to) = if knock { (&outside, &inside) } else { (&inside, &outside) };
    let port = if knock { r.pick(&[&22u64, &23, &445, &3389, &8080]) } else { service };
    Flow {
        ms,
        account: r.pick(&ACCOUNTS),
        from,
        to,
        ports: (client, *port),
        protocol: if *port == 53 { 17 } else { 6 },
        packets: if knock { 1 } else { packets },
        bytes: if knock { 40 } else { packets * (60 + r.below(1300)) },
        accept: !knock,
    }
    .write(out)
}

pub(crate) fn nginx(r: &mut Random, ms: i64, out: &mut String) {
    if r.chance(30) {
        let ip = format!("203.0.113.{}", 100 + r.below(150));
        let name = r.pick(&["backup", "old", "test", "wp-login", "admin", "phpinfo", "config", "dump"]);
        let ext = r.pick(&["php", "zip", "bak", "sql", "env", "asp"]);
        let request = format!("GET /{}/{name}.{ext} HTTP/1.1", r.hex(6));
        return nginx_line(ms, &ip, &request, 404, 153, BROWSER, out);
    }
    let ip = format!("192.0.2.{}", 1 + r.below(250));
    let n = r.below(5000);
    let request = match r.below(10) {
        0..4 => format!("GET /products/{n} HTTP/1.1"),
        4..6 => format!("GET /search?q=shoes+{n} HTTP/2.0"),
        6..8 => "GET / HTTP/2.0".to_string(),
        8 => "POST /cart HTTP/1.1".to_string(),
        _ => "POST /login HTTP/1.1".to_string(),
    };
    let status = *r.pick(&[&200u16, &200, &200, &200, &200, &200, &304, &302, &500]);
    nginx_line(ms, &ip, &request, status, 200 + r.below(40_000), BROWSER, out)
}

pub(crate) fn syslog(r: &mut Random, ms: i64, out: &mut String) {
    let (host, pid, user) = (r.pick(&["web-1", "web-2", "db-1", "bastion-1"]), 300 + r.below(30_000), r.pick(&USERS));
    let (priority, program, message) = match r.below(10) {
        0..3 => (78, "CRON", "(root) CMD (run-parts /etc/cron.hourly)".to_string()),
        3..5 => (
            38,
            "sshd",
            format!(
                "Accepted publickey for {user} from {} port {} ssh2: ED25519 SHA256:{}",
                office_ip(r),
                40_000 + r.below(20_000),
                r.hex(32)
            ),
        ),
        5 => (
            38,
            "sshd",
            format!("Failed password for {user} from {} port {} ssh2", office_ip(r), 40_000 + r.below(20_000)),
        ),
        6..8 => (30, "systemd", format!("Started session-{}.scope - Session of user {user}.", r.below(9000))),
        _ => (
            85,
            "sudo",
            format!("{user} : TTY=pts/0 ; PWD=/home/{user} ; USER=root ; COMMAND=/usr/bin/systemctl status nginx"),
        ),
    };
    syslog_line(ms, priority, host, program, pid, &message, out)
}

pub(crate) fn dns(r: &mut Random, ms: i64, out: &mut String) {
    let (client, id) = (inner_ip(r), r.hex(16));
    let query = match r.below(4) {
        0 => "api.github.com".to_string(),
        1 => format!("{}.example.com", r.pick(&["www", "mail", "shop", "cdn", "vpn"])),
        2 => format!("{}.s3.amazonaws.com", r.pick(&["example-assets", "example-logs"])),
        _ => r.pick(&["time.example.net", "packages.example.org", "login.example.com"]).to_string(),
    };
    if r.chance(3) {
        return dns_line(ms, &id, &client, &query, (1, "A"), (3, "NXDOMAIN"), "[]", out);
    }
    let (qtype, answer) = if r.chance(25) {
        ((28, "AAAA"), "2001:db8::50".into())
    } else {
        ((1, "A"), format!("192.0.2.{}", r.below(250)))
    };
    dns_line(ms, &id, &client, &query, qtype, (0, "NOERROR"), &format!(r#"["{answer}"]"#), out)
}
