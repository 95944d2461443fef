//! The detections that ship with the product, compiled in, each with its tests.
//!
//! They tell one story, which the demo's generator plays: a phished login at Okta, a stolen repository, an AWS account
//! taken over, a host scanned, entered and emptied. `demo/` holds one rule that is noisy on purpose.

/// `(path, text)` of every file of the folder `detections`, sorted by path.
pub const FILES: &[(&str, &str)] = &[
    ("aws/access_denied_burst.yml", include_str!("../detections/aws/access_denied_burst.yml")),
    ("aws/access_key_for_other.lua", include_str!("../detections/aws/access_key_for_other.lua")),
    ("aws/access_key_for_other.yml", include_str!("../detections/aws/access_key_for_other.yml")),
    ("aws/admin_policy_attached.yml", include_str!("../detections/aws/admin_policy_attached.yml")),
    ("aws/alb_injection.yml", include_str!("../detections/aws/alb_injection.yml")),
    ("aws/alb_server_errors.yml", include_str!("../detections/aws/alb_server_errors.yml")),
    ("aws/bucket_made_public.lua", include_str!("../detections/aws/bucket_made_public.lua")),
    ("aws/bucket_made_public.yml", include_str!("../detections/aws/bucket_made_public.yml")),
    ("aws/console_login_without_mfa.yml", include_str!("../detections/aws/console_login_without_mfa.yml")),
    ("aws/flow_large_egress.yml", include_str!("../detections/aws/flow_large_egress.yml")),
    ("aws/flow_port_scan.lua", include_str!("../detections/aws/flow_port_scan.lua")),
    ("aws/flow_port_scan.yml", include_str!("../detections/aws/flow_port_scan.yml")),
    ("aws/port_opened_to_world.yml", include_str!("../detections/aws/port_opened_to_world.yml")),
    ("aws/public_access_block_removed.yml", include_str!("../detections/aws/public_access_block_removed.yml")),
    ("aws/root_used.yml", include_str!("../detections/aws/root_used.yml")),
    ("aws/secret_harvest.lua", include_str!("../detections/aws/secret_harvest.lua")),
    ("aws/secret_harvest.yml", include_str!("../detections/aws/secret_harvest.yml")),
    ("aws/trail_tampering.yml", include_str!("../detections/aws/trail_tampering.yml")),
    ("demo/noisy_not_found.yml", include_str!("../detections/demo/noisy_not_found.yml")),
    ("gcp/resource_made_public.yml", include_str!("../detections/gcp/resource_made_public.yml")),
    ("gcp/service_account_key_created.yml", include_str!("../detections/gcp/service_account_key_created.yml")),
    ("github/branch_protection_removed.yml", include_str!("../detections/github/branch_protection_removed.yml")),
    ("github/bulk_clone.lua", include_str!("../detections/github/bulk_clone.lua")),
    ("github/bulk_clone.yml", include_str!("../detections/github/bulk_clone.yml")),
    ("github/deploy_key_added.yml", include_str!("../detections/github/deploy_key_added.yml")),
    ("github/org_owner_added.yml", include_str!("../detections/github/org_owner_added.yml")),
    ("github/repo_made_public.yml", include_str!("../detections/github/repo_made_public.yml")),
    ("github/token_created.lua", include_str!("../detections/github/token_created.lua")),
    ("github/token_created.yml", include_str!("../detections/github/token_created.yml")),
    ("nginx/path_traversal.yml", include_str!("../detections/nginx/path_traversal.yml")),
    ("nginx/scanner.yml", include_str!("../detections/nginx/scanner.yml")),
    ("nginx/secret_files.yml", include_str!("../detections/nginx/secret_files.yml")),
    ("okta/admin_role_granted.yml", include_str!("../detections/okta/admin_role_granted.yml")),
    ("okta/api_token_created.yml", include_str!("../detections/okta/api_token_created.yml")),
    ("okta/login_anonymous_network.yml", include_str!("../detections/okta/login_anonymous_network.yml")),
    ("okta/mfa_factor_removed.lua", include_str!("../detections/okta/mfa_factor_removed.lua")),
    ("okta/mfa_factor_removed.yml", include_str!("../detections/okta/mfa_factor_removed.yml")),
    ("okta/mfa_push_fatigue.yml", include_str!("../detections/okta/mfa_push_fatigue.yml")),
    ("suricata/severe_alert.yml", include_str!("../detections/suricata/severe_alert.yml")),
    ("syslog/account_created.yml", include_str!("../detections/syslog/account_created.yml")),
    ("syslog/ssh_brute_force.lua", include_str!("../detections/syslog/ssh_brute_force.lua")),
    ("syslog/ssh_brute_force.yml", include_str!("../detections/syslog/ssh_brute_force.yml")),
    ("syslog/ssh_root_login.yml", include_str!("../detections/syslog/ssh_root_login.yml")),
    ("zeek/dns_nxdomain_burst.yml", include_str!("../detections/zeek/dns_nxdomain_burst.yml")),
    ("zeek/dns_tunnel.lua", include_str!("../detections/zeek/dns_tunnel.lua")),
    ("zeek/dns_tunnel.yml", include_str!("../detections/zeek/dns_tunnel.yml")),
];

/// As content files below `folder`.
pub fn files(folder: &str) -> model::files::MemFiles {
    let path = |p: &str| format!("{}/{p}", folder.trim_end_matches('/'));
    model::files::MemFiles(FILES.iter().map(|(p, text)| (path(p), text.as_bytes().into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Body;
    use crate::testing::{Options, run};
    use std::path::Path;

    fn on_disk(folder: &Path, prefix: &str, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let (path, name) = entry.map(|e| (e.path(), e.file_name().into_string().unwrap())).unwrap();
            match path.is_dir() {
                true => on_disk(&path, &format!("{prefix}{name}/"), out),
                false => out.push(format!("{prefix}{name}")),
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_compiled_in() {
        let mut disk = Vec::new();
        on_disk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("detections"), "", &mut disk);
        disk.sort();
        assert_eq!(disk, FILES.iter().map(|(p, _)| p.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn all_tests_pass() {
        let report = run(&files("rules"), &["rules".into()], &Options { filter: None, minimum_tests: 2 });
        assert!(report.passed() && report.problems.is_empty(), "{}", report.to_text(false, true));
        assert!(report.counts().0 >= 2 * report.rules.len());
    }

    #[test]
    fn every_rule_says_what_it_is_about() {
        let (rules, _) = crate::meta::load(&files("rules"), &["rules".into()]);
        let lua = rules.iter().filter(|r| matches!(r.body, Body::Lua { .. })).count();
        assert!(rules.len() >= 24 && lua >= 6, "{} rules, {lua} in Lua", rules.len());
        for r in &rules {
            let demo = r.meta.id.starts_with("Demo.");
            assert!(demo || !r.meta.reports["MITRE ATT&CK"].is_empty(), "{}", r.meta.id);
            assert!(demo || !r.meta.runbook.is_empty() && !r.meta.tags.is_empty(), "{}", r.meta.id);
            assert!(!r.meta.description.is_empty() && r.meta.name != *r.meta.id, "{}", r.meta.id);
        }
    }
}
