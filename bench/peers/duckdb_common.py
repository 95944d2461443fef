"""The common workload in DuckDB: one SQL statement from JSON lines to matches, then dedup and limit over the matches.

    duckdb_common.py INPUT LOOKUP OUT WORKERS

What runs: DuckDB in this process (duckdb 2.0.1, Python 3.11), WORKERS threads. `read_json` with a given schema parses the
lines, the source address is joined with the table, the twenty rules are a filter. The matches (about 0.5 % of the events)
come back to Python, where the windows of dedup and limit, each of which depends on the one before, are a plain loop.

Left out, compared with the job: only the columns that rules and alerts need are kept, never the raw event or a full tree;
the time of every event is parsed, but addresses, ARNs and account numbers are not collected as indicators; one batch over
a finished file, no state kept between runs, no checkpoint; a line with text where the schema has an object or a list, or
an object in place of a list, stops the run.
Order: with one worker the rows come back in file order and the alerts are the reference's to the byte. With more, DuckDB keeps
no order through a join; the matches are then put in the order of their time, so every run gives the same alerts, but of two
matches of one rule and principal another may be the first.
"""
import json
import os
import sys

import duckdb

HOUR = 3_600_000
LIMIT = 1000

# Only what is named here is turned into columns; the JSON reader skips the rest of each object.
COLUMNS = {
    "eventName": "VARCHAR",
    "eventSource": "VARCHAR",
    "eventType": "VARCHAR",
    "eventTime": "TIMESTAMP",
    "eventID": "VARCHAR",
    "errorCode": "VARCHAR",
    "userAgent": "VARCHAR",
    "sourceIPAddress": "VARCHAR",
    "recipientAccountId": "VARCHAR",
    "readOnly": "BOOLEAN",
    "userIdentity": """STRUCT(type VARCHAR, arn VARCHAR, "principalId" VARCHAR, "invokedBy" VARCHAR, "accountId" VARCHAR,
        "sessionContext" STRUCT("sessionIssuer" STRUCT("userName" VARCHAR)))""",
    "requestParameters": """STRUCT("userName" VARCHAR, "policyArn" VARCHAR, "roleArn" VARCHAR, acl VARCHAR, "userData" VARCHAR,
        "ipPermissions" STRUCT(items STRUCT("ipRanges" STRUCT(items STRUCT("cidrIp" VARCHAR)[]))[]),
        "createVolumePermission" STRUCT("add" STRUCT(items STRUCT("group" VARCHAR)[])))""",
    "responseElements": 'STRUCT("ConsoleLogin" VARCHAR)',
    "additionalEventData": 'STRUCT("MFAUsed" VARCHAR)',
}

# SQL's three-valued logic is the rules' own: a comparison with null is not true. List positions begin at 1.
RULES = [
    "eventName = 'ConsoleLogin' AND userIdentity.type = 'Root'",
    "eventName = 'ConsoleLogin' AND additionalEventData.MFAUsed = 'No' AND responseElements.ConsoleLogin = 'Success'",
    "eventName = 'ConsoleLogin' AND responseElements.ConsoleLogin = 'Failure'",
    "userIdentity.type = 'Root' AND userIdentity.invokedBy IS NULL AND eventType <> 'AwsServiceEvent'",
    """eventSource = 'cloudtrail.amazonaws.com'
       AND eventName IN ('StopLogging', 'DeleteTrail', 'UpdateTrail', 'PutEventSelectors')""",
    "eventName = 'CreateAccessKey' AND errorCode IS NULL AND requestParameters.userName IS NOT NULL",
    """eventName IN ('AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy')
       AND requestParameters.policyArn = 'arn:aws:iam::aws:policy/AdministratorAccess'""",
    """eventName = 'AuthorizeSecurityGroupIngress'
       AND requestParameters.ipPermissions.items[1].ipRanges.items[1].cidrIp = '0.0.0.0/0'""",
    "eventName IN ('PutBucketAcl', 'PutBucketPolicy') AND starts_with(requestParameters.acl, 'public-read')",
    "eventSource = 'kms.amazonaws.com' AND eventName IN ('DisableKey', 'ScheduleKeyDeletion')",
    "eventName = 'GetSecretValue' AND is_tor",
    """eventName = 'AssumeRole' AND userIdentity.accountId <> recipientAccountId
       AND regexp_matches(requestParameters.roleArn,
           '^arn:aws:iam::[0-9]{12}:role/(Admin|OrganizationAccountAccessRole|.*-break-glass)$')""",
    "regexp_matches(userAgent, 'kali|parrot|pentoo|pacu', 'i')",
    """errorCode IN ('AccessDenied', 'UnauthorizedOperation', 'Client.UnauthorizedOperation')
       AND userIdentity.type = 'IAMUser'
       AND (starts_with(eventName, 'List') OR starts_with(eventName, 'Describe') OR starts_with(eventName, 'Get'))""",
    """eventSource = 'guardduty.amazonaws.com'
       AND eventName IN ('DeleteDetector', 'UpdateDetector', 'StopMonitoringMembers')""",
    "eventName = 'ModifyInstanceAttribute' AND requestParameters.userData IS NOT NULL",
    """eventName = 'ModifySnapshotAttribute'
       AND requestParameters.createVolumePermission.add.items[1]."group" = 'all'""",
    "starts_with(eventName, 'UpdateFunctionCode') AND country IN ('KP', 'IR', 'RU')",
    "is_tor AND NOT readOnly AND userIdentity.type = 'IAMUser'",
    """NOT readOnly AND NOT starts_with(sourceIPAddress, '10.')
       AND regexp_matches(userIdentity.sessionContext.sessionIssuer.userName, '^(temp|test|tmp)-[a-z0-9]{4,}$')""",
]

# maximum_object_size sets the size of the read buffers: a quarter of the default takes less memory and no more time.
QUERY = f"""
SELECT [{', '.join(f"CASE WHEN {rule} THEN 'R{i:02}' END" for i, rule in enumerate(RULES, 1))}] AS rules,
       coalesce(userIdentity.arn, userIdentity.principalId, userIdentity.invokedBy) AS principal,
       epoch_ms(eventTime) AS ts, sourceIPAddress, country, recipientAccountId, eventID
FROM read_json($input, format = 'newline_delimited', columns = {{{', '.join(f"'{c}': '{t}'" for c, t in COLUMNS.items())}}},
               timestampformat = '%Y-%m-%dT%H:%M:%SZ', maximum_object_size = 4194304)
LEFT JOIN lookup ON ip = sourceIPAddress
WHERE {' OR '.join(f'({rule})' for rule in RULES)}
"""


def alerts(rows):
    """Dedup by rule and principal, then the storm limit by rule, over the matches in file order."""
    opened, windows = {}, {}
    for hits, principal, ts, ip, country, account, event in rows:
        for rule in hits:
            if rule is None:
                continue
            first = opened.get((rule, principal))
            if first is not None and ts - first < HOUR:
                continue
            opened[rule, principal] = ts
            start, count = windows.get(rule, (ts, 0))
            if ts - start >= HOUR:
                start, count = ts, 0
            windows[rule] = start, count + 1
            if count < LIMIT:
                yield {"rule": rule, "principal": principal, "ts": ts, "ip": ip, "country": country,
                       "account": account, "eventID": event}


def main(events, lookup, out, workers):
    os.makedirs(out, exist_ok=True)
    db = duckdb.connect(":memory:", config={"threads": int(workers)})
    db.execute("""CREATE TABLE lookup AS SELECT ip, country, is_tor
                  FROM read_csv(?, columns = {'ip': 'VARCHAR', 'country': 'VARCHAR', 'asn': 'INTEGER', 'is_tor': 'BOOLEAN'})""",
               [lookup])
    # The planner does not know how many lines a JSON file has, guesses fewer than the table and would build the hash table
    # over the events, which costs memory and their order. The table is the smaller side: keep it on the right.
    db.execute("SET disabled_optimizers = 'build_side_probe_side'")
    rows = db.execute(QUERY, {"input": events}).fetchall()
    if int(workers) > 1:
        rows.sort(key=lambda row: (row[2], row[6], row[1]))
    with open(os.path.join(out, "alerts.jsonl"), "w", encoding="utf-8") as f:
        for alert in alerts(rows):
            f.write(json.dumps(alert, separators=(",", ":"), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:5])
