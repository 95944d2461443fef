#!/usr/bin/env python3
"""The common workload on Tenzir: a pipeline of TQL, with the table as a lookup context of a node.

    tenzir_common.py INPUT LOOKUP OUT WORKERS

Pinned: tenzir 6.20.0 (requirements-tenzir.txt; the package brings the engine).

What runs: a tenzir-node on a free port that holds the table, as contexts live in nodes; one client that fills it; and one that
runs the pipeline. WORKERS above 1 is the engine's option --parallelism. The node is a child that is waited for, so its CPU time
counts too. The reader takes values as JSON has them (raw): with type inference an address would be an IP and not the table's text.

Order: with one worker, that of the file (the bytes of the reference); with more, the option decides.

Differs from the job: `deduplicate` does dedup and storm limit, and its timeouts run by the clock, not by event time; in input
that spans more than an hour it would drop matches that open a new window. Left out: indicators are not collected in a list of
their own; the raw event is not kept; no checkpoints.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

ENGINE = os.path.join(os.path.dirname(sys.executable), "tenzir")

FILL = """
from_file {lookup} {{ read_csv raw=true }}
context_update "geo", key=ip, value={{ country: country, tor: is_tor == "true" }}
"""

# A `?` behind a field or an index: null where it is missing, without a warning. `x != y` is true for a null here, so rules
# that ask for a difference ask for a value too.
COMMON = """
from_file {events} {{ read_ndjson raw=true }}
select name = eventName?, source = eventSource?, kind = userIdentity?.type?, by = userIdentity?.invokedBy?,
  arn = userIdentity?.arn?, id = userIdentity?.principalId?, own = userIdentity?.accountId?,
  issuer = userIdentity?.sessionContext?.sessionIssuer?.userName?, when = eventTime.time(), etype = eventType?,
  ip = sourceIPAddress?, agent = userAgent?, error = errorCode?, ro = readOnly?, account = recipientAccountId?,
  eventID = eventID?, asked = requestParameters?, login = responseElements?.ConsoleLogin?, mfa = additionalEventData?.MFAUsed?
context_enrich "geo", key=ip, into=geo
country = geo?.country?
tor = geo?.tor? == true
{checks}
where {any}
rules = [{list}].where(rule => rule != null)
unroll rules
principal = arn if arn != null else id if id != null else by
select rule = rules, principal, ts = when.since_epoch().count_milliseconds().int(), ip, country, account, eventID
deduplicate rule, principal, create_timeout=1h
deduplicate rule, limit=1000, create_timeout=1h
to_file {out} {{ write_ndjson }}
"""

RULES = [
    'name == "ConsoleLogin" and kind == "Root"',
    'name == "ConsoleLogin" and mfa == "No" and login == "Success"',
    'name == "ConsoleLogin" and login == "Failure"',
    'kind == "Root" and by == null and etype != null and etype != "AwsServiceEvent"',
    'source == "cloudtrail.amazonaws.com" and name in ["StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"]',
    'name == "CreateAccessKey" and error == null and asked?.userName? != null',
    'name in ["AttachUserPolicy", "AttachRolePolicy", "AttachGroupPolicy"] '
    'and asked?.policyArn? == "arn:aws:iam::aws:policy/AdministratorAccess"',
    'name == "AuthorizeSecurityGroupIngress" '
    'and asked?.ipPermissions?.items?[0]?.ipRanges?.items?[0]?.cidrIp? == "0.0.0.0/0"',
    'name in ["PutBucketAcl", "PutBucketPolicy"] and (asked?.acl?.starts_with("public-read") else false)',
    'source == "kms.amazonaws.com" and name in ["DisableKey", "ScheduleKeyDeletion"]',
    'name == "GetSecretValue" and tor',
    'name == "AssumeRole" and own != null and account != null and own != account and (asked?.roleArn?.match_regex('
    'r"^arn:aws:iam::[0-9]{12}:role/(Admin|OrganizationAccountAccessRole|.*-break-glass)$") else false)',
    'agent.match_regex("(?i)kali|parrot|pentoo|pacu") else false',
    'error in ["AccessDenied", "UnauthorizedOperation", "Client.UnauthorizedOperation"] and kind == "IAMUser" '
    'and (name.match_regex("^(List|Describe|Get)") else false)',
    'source == "guardduty.amazonaws.com" and name in ["DeleteDetector", "UpdateDetector", "StopMonitoringMembers"]',
    'name == "ModifyInstanceAttribute" and asked?.userData? != null',
    'name == "ModifySnapshotAttribute" and asked?.createVolumePermission?.add?.items?[0]?.group? == "all"',
    'country in ["KP", "IR", "RU"] and (name.starts_with("UpdateFunctionCode") else false)',
    'tor and ro == false and kind == "IAMUser"',
    'ro == false and (issuer.match_regex("^(temp|test|tmp)-[a-z0-9]{4,}$") else false) and not (ip.starts_with("10.") else true)',
]


def pipeline(events, out):
    ids = [f"r{i:02}" for i in range(1, len(RULES) + 1)]
    return COMMON.format(
        events=json.dumps(os.path.abspath(events)), out=json.dumps(os.path.abspath(out)),
        checks="\n".join(f"{i} = {rule}" for i, rule in zip(ids, RULES)),
        any=" or ".join(ids), list=", ".join(f'"{i.upper()}" if {i}' for i in ids))


def main(events, lookup, out, workers):
    os.makedirs(out, exist_ok=True)
    alerts = os.path.join(out, "alerts.jsonl")
    for old in ("node", "cache"):  # the table lives on in the node's folder
        shutil.rmtree(os.path.join(out, old), ignore_errors=True)
    if os.path.exists(alerts):
        os.unlink(alerts)
    with socket.create_server(("127.0.0.1", 0)) as s:
        endpoint = f"127.0.0.1:{s.getsockname()[1]}"
    state = [f"--state-directory={out}/node", f"--cache-directory={out}/cache"]
    client = [ENGINE, f"--endpoint={endpoint}", f"--cache-directory={out}/cache"]

    def run(text, *options):
        subprocess.run([*client, *options, text], check=True, timeout=600)

    with open(os.path.join(out, "node.log"), "wb") as log:
        node = subprocess.Popen([ENGINE + "-node", f"--endpoint={endpoint}", *state], stdout=log, stderr=log)
    try:
        while True:  # until the node listens
            try:
                socket.create_connection(("127.0.0.1", int(endpoint.split(":")[1])), 1).close()
                break
            except OSError:
                if node.poll() is not None:
                    sys.exit(f"tenzir-node ended; see {out}/node.log")
                time.sleep(0.05)
        run('context_create_lookup_table "geo"')
        run(FILL.format(lookup=json.dumps(os.path.abspath(lookup))))
        run(pipeline(events, alerts), *([f"--parallelism={workers}"] if int(workers) > 1 else []))
    finally:
        node.send_signal(signal.SIGTERM)
        node.wait()


if __name__ == "__main__":
    main(*sys.argv[1:5])
