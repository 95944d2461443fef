"""The common workload in polars: one lazy query from JSON lines to matches, then dedup and limit over the matches.

    polars_common.py INPUT LOOKUP OUT WORKERS

What runs: polars 2.1.0 (Python 3.11), its streaming engine with WORKERS threads. `json_decode` with a given schema parses
each line, the source address is joined with the table, the twenty rules are a filter. The matches (about 0.5 % of the
events) come back as rows, and the windows of dedup and limit, each of which depends on the one before, are a plain loop.

Left out, compared with the job: only the columns that rules and alerts need are kept, never the raw event or a full tree;
the time of every event is parsed, but addresses, ARNs and account numbers are not collected as indicators; one batch over
a finished file, no state kept between runs, no checkpoint; a line with text where the schema has an object or a list, or
an object in place of text or a list, stops the run.
Order: the scan and the join keep the order of the file for any number of threads.
"""
import os
import sys

os.environ["POLARS_MAX_THREADS"] = sys.argv[4]  # read once, when polars is loaded

import alerts  # noqa: E402
import polars as pl  # noqa: E402

S = pl.String


def items(**fields):
    return pl.Struct({"items": pl.List(pl.Struct(fields))})


# Only what is named here is turned into columns.
SCHEMA = {
    **dict.fromkeys(["eventName", "eventSource", "eventType", "eventTime", "eventID", "errorCode", "userAgent",
                     "sourceIPAddress", "recipientAccountId"], S),
    "readOnly": pl.Boolean,
    "userIdentity": pl.Struct({"type": S, "arn": S, "principalId": S, "invokedBy": S, "accountId": S,
                               "sessionContext": pl.Struct({"sessionIssuer": pl.Struct({"userName": S})})}),
    "requestParameters": pl.Struct({"userName": S, "policyArn": S, "roleArn": S, "acl": S, "userData": S,
                                    "ipPermissions": items(ipRanges=items(cidrIp=S)),
                                    "createVolumePermission": pl.Struct({"add": items(group=S)})}),
    "responseElements": pl.Struct({"ConsoleLogin": S}),
    "additionalEventData": pl.Struct({"MFAUsed": S}),
}


def at(column, *path):
    """A field below a column; null where a step is missing or past the end of a list."""
    value = pl.col(column)
    for step in path:
        value = value.list.get(step, null_on_oob=True) if isinstance(step, int) else value.struct.field(step)
    return value


def rules():
    """The twenty conditions. Logic is three-valued, as the rules want it: a comparison with null is not true."""
    name, source, error = pl.col("eventName"), pl.col("eventSource"), pl.col("errorCode")
    kind, tor, writes = at("userIdentity", "type"), pl.col("is_tor"), ~pl.col("readOnly")
    login, answer = name == "ConsoleLogin", at("responseElements", "ConsoleLogin")
    issuer = at("userIdentity", "sessionContext", "sessionIssuer", "userName")
    return [
        login & (kind == "Root"),
        login & (at("additionalEventData", "MFAUsed") == "No") & (answer == "Success"),
        login & (answer == "Failure"),
        (kind == "Root") & at("userIdentity", "invokedBy").is_null() & (pl.col("eventType") != "AwsServiceEvent"),
        (source == "cloudtrail.amazonaws.com")
        & name.is_in(["StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"]),
        (name == "CreateAccessKey") & error.is_null() & at("requestParameters", "userName").is_not_null(),
        name.is_in(["AttachUserPolicy", "AttachRolePolicy", "AttachGroupPolicy"])
        & (at("requestParameters", "policyArn") == "arn:aws:iam::aws:policy/AdministratorAccess"),
        (name == "AuthorizeSecurityGroupIngress")
        & (at("requestParameters", "ipPermissions", "items", 0, "ipRanges", "items", 0, "cidrIp") == "0.0.0.0/0"),
        name.is_in(["PutBucketAcl", "PutBucketPolicy"]) & at("requestParameters", "acl").str.starts_with("public-read"),
        (source == "kms.amazonaws.com") & name.is_in(["DisableKey", "ScheduleKeyDeletion"]),
        (name == "GetSecretValue") & tor,
        (name == "AssumeRole") & (at("userIdentity", "accountId") != pl.col("recipientAccountId"))
        & at("requestParameters", "roleArn").str.contains(
            "^arn:aws:iam::[0-9]{12}:role/(Admin|OrganizationAccountAccessRole|.*-break-glass)$"),
        pl.col("userAgent").str.contains_any(["kali", "parrot", "pentoo", "pacu"], ascii_case_insensitive=True),
        error.is_in(["AccessDenied", "UnauthorizedOperation", "Client.UnauthorizedOperation"]) & (kind == "IAMUser")
        & (name.str.starts_with("List") | name.str.starts_with("Describe") | name.str.starts_with("Get")),
        (source == "guardduty.amazonaws.com")
        & name.is_in(["DeleteDetector", "UpdateDetector", "StopMonitoringMembers"]),
        (name == "ModifyInstanceAttribute") & at("requestParameters", "userData").is_not_null(),
        (name == "ModifySnapshotAttribute")
        & (at("requestParameters", "createVolumePermission", "add", "items", 0, "group") == "all"),
        name.str.starts_with("UpdateFunctionCode") & pl.col("country").is_in(["KP", "IR", "RU"]),
        tor & writes & (kind == "IAMUser"),
        writes & ~pl.col("sourceIPAddress").str.starts_with("10.") & issuer.str.contains("^(temp|test|tmp)-[a-z0-9]{4,}$"),
    ]


def matches(events, lookup):
    table = pl.scan_csv(lookup, schema={"ip": S, "country": S, "asn": pl.Int64, "is_tor": pl.Boolean}).drop("asn")
    hits = {f"R{i:02}": rule for i, rule in enumerate(rules(), 1)}
    return (
        pl.scan_lines(events, name="line")
        .select(event=pl.col("line").str.json_decode(pl.Struct(SCHEMA)))  # a third less CPU time than scan_ndjson
        .unnest("event")
        .with_columns(ts=pl.col("eventTime").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ms").dt.epoch("ms"))
        .join(table, left_on="sourceIPAddress", right_on="ip", how="left", maintain_order="left")
        .with_columns(**hits)
        .filter(pl.any_horizontal(*hits))
        .select(pl.concat_list(pl.when(rule).then(pl.lit(rule)) for rule in hits).alias("rules"),
                pl.coalesce(at("userIdentity", "arn"), at("userIdentity", "principalId"), at("userIdentity", "invokedBy")),
                "ts", "sourceIPAddress", "country", "recipientAccountId", "eventID")
        .collect(engine="streaming")
        .rows()
    )


def main(events, lookup, out, _workers):
    rows = matches(events, lookup)
    alerts.write(rows, out)


if __name__ == "__main__":
    main(*sys.argv[1:5])
