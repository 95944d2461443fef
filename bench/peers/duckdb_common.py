"""The common workload in DuckDB: one SQL statement from JSON lines to matches, then dedup and limit over the matches.

    duckdb_common.py INPUT LOOKUP OUT WORKERS [--lake]

What runs: DuckDB in this process (duckdb 2.0.1, Python 3.11), WORKERS threads. `read_json` with a given schema parses the
lines, the source address is joined with the table, the twenty rules are a filter. The matches (about 0.5 % of the events)
come back to Python, where the windows of dedup and limit, each of which depends on the one before, are a plain loop.

Left out, compared with the job: only the columns that rules and alerts need are kept, never the raw event or a full tree;
the time of every event is parsed, but addresses, ARNs and account numbers are not collected as indicators; one batch over
a finished file, no state kept between runs, no checkpoint; a line with text where the schema has an object or a list, or
an object in place of a list, stops the run.
With --lake a COPY of every event to Parquet comes first, with the fields of the schema that `sinks.lake` writes (nested ones
as JSON), zstd level 1; the `p_` columns, indicators among them, and the folders by hour are left out. DuckDB reads the file
twice then: it has one result for one statement. What the COPY takes is the difference to a run without it.
Order: with one worker the rows come back in file order and the alerts are the reference's to the byte. With more, DuckDB keeps
no order through a join; the matches are then put in the order of their time, so every run gives the same alerts, but of two
matches of one rule and principal another may be the first.
"""
import sys

import alerts
import duckdb
import sql_rules

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

# Every field of the schema.
TEXT = """apiVersion awsRegion errorCode errorMessage eventCategory eventID eventName eventSource eventType eventVersion
    recipientAccountId requestID sharedEventID sourceIPAddress userAgent vpcEndpointAccountId vpcEndpointId"""
NESTED = """additionalEventData addendum edgeDeviceDetails eventContext insightDetails requestParameters resources
    responseElements serviceEventDetails tlsDetails userIdentity"""
FIELDS = dict.fromkeys(TEXT.split(), "VARCHAR") | dict.fromkeys(NESTED.split(), "JSON") | {
    "eventTime": "TIMESTAMP", "managementEvent": "BOOLEAN", "readOnly": "BOOLEAN", "sessionCredentialFromConsole": "BOOLEAN"}


def lines(columns):
    """The table function that reads the file."""
    # maximum_object_size sets the size of the read buffers: a quarter of the default takes less memory and no more time.
    types = ', '.join(f"'{c}': '{t}'" for c, t in columns.items())
    return f"""read_json($input, format = 'newline_delimited', columns = {{{types}}},
                      timestampformat = '%Y-%m-%dT%H:%M:%SZ', maximum_object_size = 4194304)"""


RULES = sql_rules.rules(starts="starts_with", matches="regexp_matches", group='"group"',
                        distro="regexp_matches(userAgent, 'kali|parrot|pentoo|pacu', 'i')")

QUERY = f"""
SELECT [{', '.join(f"CASE WHEN {rule} THEN 'R{i:02}' END" for i, rule in enumerate(RULES, 1))}] AS rules,
       coalesce(userIdentity.arn, userIdentity.principalId, userIdentity.invokedBy) AS principal,
       epoch_ms(eventTime) AS ts, sourceIPAddress, country, recipientAccountId, eventID
FROM {lines(COLUMNS)}
LEFT JOIN lookup ON ip = sourceIPAddress
WHERE {' OR '.join(f'({rule})' for rule in RULES)}
"""


def main(events, lookup, out, workers, lake=None):
    db = duckdb.connect(":memory:", config={"threads": int(workers)})
    if lake:
        db.execute(f"""COPY (SELECT * FROM {lines(FIELDS)}) TO '{out}/lake.parquet'
                       (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)""", {"input": events})
    db.execute("""CREATE TABLE lookup AS SELECT ip, country, is_tor
                  FROM read_csv(?, columns = {'ip': 'VARCHAR', 'country': 'VARCHAR', 'asn': 'INTEGER', 'is_tor': 'BOOLEAN'})""",
               [lookup])
    # The planner does not know how many lines a JSON file has, guesses fewer than the table and would build the hash table
    # over the events, which costs memory and their order. The table is the smaller side: keep it on the right.
    db.execute("SET disabled_optimizers = 'build_side_probe_side'")
    rows = db.execute(QUERY, {"input": events}).fetchall()
    if int(workers) > 1:
        rows = alerts.by_time(rows)
    alerts.write(rows, out)


if __name__ == "__main__":
    main(*sys.argv[1:6])
