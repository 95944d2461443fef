"""The common workload in ClickHouse, in this process (chdb): SQL from JSON lines to matches, then dedup and limit.

    chdb_common.py INPUT LOOKUP OUT WORKERS

What runs: chdb 4.4.0 (ClickHouse 26.9.2, Python 3.11), WORKERS threads. `JSONEachRow` with a given schema parses the lines,
the source address is looked up in a dictionary in memory, the twenty rules are a filter. The matches (about 0.5 % of the
events) come back to Python, where the windows of dedup and limit, each of which depends on the one before, are a plain loop.

Left out, compared with the job: only the columns that rules and alerts need are kept, never the raw event or a full tree;
the time of every event is parsed, but addresses, ARNs and account numbers are not collected as indicators; one batch over
a finished file, no state kept between runs, no checkpoint; a line with text where the schema has an object or a list, or
an object in place of a list, stops the run.
Order: with one worker the rows come back in file order and the alerts are the reference's to the byte. With more, blocks
overtake each other; the matches are then put in the order of their time, so every run gives the same alerts, but of two
matches of one rule and principal another may be the first.
"""
import json
import os
import sys

import alerts
import sql_rules
from chdb import session

# Only what is named here is turned into columns; the JSON reader skips the rest of each object. A missing object gives a
# tuple of nulls, a list that is too short gives null.
S = "Nullable(String)"
COLUMNS = f"""
    eventName {S}, eventSource {S}, eventType {S}, eventTime DateTime('UTC'), eventID {S}, errorCode {S}, userAgent {S},
    sourceIPAddress {S}, recipientAccountId {S}, readOnly Nullable(Bool),
    userIdentity Tuple(type {S}, arn {S}, principalId {S}, invokedBy {S}, accountId {S},
        sessionContext Tuple(sessionIssuer Tuple(userName {S}))),
    requestParameters Tuple(userName {S}, policyArn {S}, roleArn {S}, acl {S}, userData {S},
        ipPermissions Tuple(items Array(Tuple(ipRanges Tuple(items Array(Tuple(cidrIp {S})))))),
        createVolumePermission Tuple(add Tuple(items Array(Tuple(`group` {S}))))),
    responseElements Tuple(ConsoleLogin {S}),
    additionalEventData Tuple(MFAUsed {S})"""

RULES = sql_rules.rules(
    starts="startsWith", matches="match", group="`group`",
    distro="multiSearchAnyCaseInsensitive(ifNull(userAgent, ''), ['kali', 'parrot', 'pentoo', 'pacu'])")


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def query(events, workers):
    rules = ", ".join(f"if({rule}, 'R{i:02}', '')" for i, rule in enumerate(RULES, 1))
    return f"""
        WITH dictGetOrNull('lookup', ('country', 'is_tor'), ifNull(sourceIPAddress, '')) AS found,
             found.1 AS country, found.2 AS is_tor
        SELECT arrayFilter(rule -> rule <> '', [{rules}]) AS rules,
               coalesce(userIdentity.arn, userIdentity.principalId, userIdentity.invokedBy) AS principal,
               toUnixTimestamp(eventTime) * 1000 AS ts, sourceIPAddress, country, recipientAccountId, eventID
        FROM file({quoted(os.path.abspath(events))}, JSONEachRow, {quoted(COLUMNS)})
        WHERE {' OR '.join(f'({rule})' for rule in RULES)}
        SETTINGS max_threads = {workers}, max_parsing_threads = {workers}, input_format_parallel_parsing = {int(workers > 1)},
                 date_time_input_format = 'best_effort', output_format_json_quote_64bit_integers = 0"""


def main(events, lookup, out, workers):
    workers = int(workers)
    db = session.Session()
    db.query(f"""CREATE TABLE addresses ENGINE = Memory AS SELECT ip, country, is_tor
                 FROM file({quoted(os.path.abspath(lookup))}, CSVWithNames,
                           'ip String, country String, asn UInt32, is_tor Bool')""")
    db.query("""CREATE DICTIONARY lookup (ip String, country String, is_tor Bool) PRIMARY KEY ip
                SOURCE(CLICKHOUSE(TABLE 'addresses')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)""")
    text = db.query(query(events, workers), "JSONCompactEachRow").bytes()
    rows = [json.loads(line) for line in text.splitlines()]
    db.close()
    if workers > 1:
        rows = alerts.by_time(rows)
    alerts.write(rows, out)


if __name__ == "__main__":
    main(*sys.argv[1:5])
