//! The schemas in the binary, one line each: a folder of `schemas/` with its `schema.yml`.

macro_rules! schema {
    ($folder:literal) => {
        (concat!("schemas/", $folder, "/schema.yml"), include_str!(concat!("../schemas/", $folder, "/schema.yml")))
    };
}

/// `(file, text)` of every built-in schema.
pub const SCHEMAS: &[(&str, &str)] = &[
    schema!("apache/accesscombined"),
    schema!("aws/alb"),
    schema!("aws/cloudtrail"),
    schema!("aws/guardduty"),
    schema!("aws/s3serveraccess"),
    schema!("aws/vpcdns"),
    schema!("aws/vpcflow"),
    schema!("azure/audit"),
    schema!("azure/monitoractivity"),
    schema!("bitbucket/audit"),
    schema!("duo/authentication"),
    schema!("fortinet/fortigate"),
    schema!("gcp/auditlog"),
    schema!("github/audit"),
    schema!("kubernetes/audit"),
    schema!("linux/auditd"),
    schema!("linux/sysmon"),
    schema!("macos/endpointsecurity"),
    schema!("microsoft365/auditazureactivedirectory"),
    schema!("microsoft365/auditexchange"),
    schema!("microsoft365/auditgeneral"),
    schema!("microsoft365/auditsharepoint"),
    schema!("microsoft365/cloudapps"),
    schema!("nginx/access"),
    schema!("okta/systemlog"),
    schema!("onelogin/events"),
    schema!("opencanary/event"),
    schema!("osquery/differential"),
    schema!("squid/access"),
    schema!("suricata/alert"),
    schema!("syslog/rfc3164"),
    schema!("syslog/rfc5424"),
    schema!("windows/eventlogs"),
    schema!("zeek/conn"),
    schema!("zeek/dcerpc"),
    schema!("zeek/dns"),
    schema!("zeek/files"),
    schema!("zeek/http"),
    schema!("zeek/kerberos"),
    schema!("zeek/rdp"),
    schema!("zeek/smbfiles"),
    schema!("zeek/ssl"),
    schema!("zeek/x509"),
];
