#!/usr/bin/env python3
"""Plain reference of the common job: one event after the other, one dictionary per state. Shares nothing with the engine.

    common.py EVENTS.jsonl LOOKUP.csv [LIMIT] > alerts.jsonl

Rules, dedup and storm limit exactly as bench/cases/common/README.md states them: file order, event time, a missing
field is null, and a comparison with null is false.
"""
import csv
import json
import re
import sys
from datetime import datetime, timezone

HOUR = 3_600_000
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
ASSUMED = re.compile(r"^arn:aws:iam::[0-9]{12}:role/(Admin|OrganizationAccountAccessRole|.*-break-glass)$")
DISTRO = re.compile(r"kali|parrot|pentoo|pacu", re.I)
READS = re.compile(r"^(List|Describe|Get)")
TEMP = re.compile(r"^(temp|test|tmp)-[a-z0-9]{4,}$")


def at(event, *path):
    for step in path:
        if isinstance(step, int):
            event = event[step] if isinstance(event, list) and len(event) > step else None
        else:
            event = event.get(step) if isinstance(event, dict) else None
        if event is None:
            return None
    return event


def text(value):
    return value if isinstance(value, str) else ""


def rules(e, geo):
    """Ids of the rules that match, in order."""
    name, source, who = at(e, "eventName"), at(e, "eventSource"), at(e, "userIdentity", "type")
    asked, answered = at(e, "requestParameters"), at(e, "responseElements")
    tor, country = geo.get("is_tor") == "true", geo.get("country")
    writes = at(e, "readOnly") is False
    login = name == "ConsoleLogin"
    account, recipient = at(e, "userIdentity", "accountId"), at(e, "recipientAccountId")
    issuer = text(at(e, "userIdentity", "sessionContext", "sessionIssuer", "userName"))
    ip = at(e, "sourceIPAddress")
    checks = [
        login and who == "Root",
        login and at(e, "additionalEventData", "MFAUsed") == "No" and at(answered, "ConsoleLogin") == "Success",
        login and at(answered, "ConsoleLogin") == "Failure",
        who == "Root" and at(e, "userIdentity", "invokedBy") is None and at(e, "eventType") != "AwsServiceEvent",
        source == "cloudtrail.amazonaws.com" and name in ("StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"),
        name == "CreateAccessKey" and at(e, "errorCode") is None and at(asked, "userName") is not None,
        name in ("AttachUserPolicy", "AttachRolePolicy", "AttachGroupPolicy") and at(asked, "policyArn") == ADMIN,
        name == "AuthorizeSecurityGroupIngress"
        and at(asked, "ipPermissions", "items", 0, "ipRanges", "items", 0, "cidrIp") == "0.0.0.0/0",
        name in ("PutBucketAcl", "PutBucketPolicy") and text(at(asked, "acl")).startswith("public-read"),
        source == "kms.amazonaws.com" and name in ("DisableKey", "ScheduleKeyDeletion"),
        name == "GetSecretValue" and tor,
        name == "AssumeRole"
        and bool(ASSUMED.search(text(at(asked, "roleArn"))))
        and account is not None
        and recipient is not None
        and account != recipient,
        bool(DISTRO.search(text(at(e, "userAgent")))),
        at(e, "errorCode") in ("AccessDenied", "UnauthorizedOperation", "Client.UnauthorizedOperation")
        and bool(READS.search(text(name)))
        and who == "IAMUser",
        source == "guardduty.amazonaws.com" and name in ("DeleteDetector", "UpdateDetector", "StopMonitoringMembers"),
        name == "ModifyInstanceAttribute" and at(asked, "userData") is not None,
        name == "ModifySnapshotAttribute"
        and at(asked, "createVolumePermission", "add", "items", 0, "group") == "all",
        text(name).startswith("UpdateFunctionCode") and country in ("KP", "IR", "RU"),
        tor and writes and who == "IAMUser",
        bool(TEMP.search(issuer)) and writes and ip is not None and not ip.startswith("10."),
    ]
    return [f"R{i + 1:02}" for i, hit in enumerate(checks) if hit]


def main(events, lookup, limit=1000):
    with open(lookup, newline="") as f:
        table = {row["ip"]: row for row in csv.DictReader(f)}
    opened, windows = {}, {}
    out = sys.stdout
    with open(events, encoding="utf-8") as f:
        for line in f:
            e = json.loads(line)
            geo = table.get(at(e, "sourceIPAddress"), {})
            hits = rules(e, geo)
            if not hits:
                continue
            when = datetime.strptime(e["eventTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
            ts = int(when.timestamp()) * 1000
            who = e["userIdentity"]
            principal = who.get("arn") or who.get("principalId") or who.get("invokedBy")
            for rule in hits:
                first = opened.get((rule, principal))
                if first is not None and ts - first < HOUR:
                    continue
                opened[rule, principal] = ts
                start, count = windows.get(rule, (ts, 0))
                if count and ts - start >= HOUR:
                    start, count = ts, 0
                windows[rule] = (start, count + 1)
                if count >= int(limit):
                    continue
                alert = {"rule": rule, "principal": principal, "ts": ts, "ip": e["sourceIPAddress"],
                         "country": geo.get("country"), "account": e["recipientAccountId"], "eventID": e["eventID"]}
                out.write(json.dumps(alert, separators=(",", ":"), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
