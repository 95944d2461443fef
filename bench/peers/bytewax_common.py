#!/usr/bin/env python3
"""The common workload on bytewax: a dataflow of Python functions on a Rust engine (timely).

    bytewax_common.py INPUT LOOKUP OUT WORKERS

Pinned: bytewax 0.21.1, msgspec 0.22.0 (requirements-bytewax.txt), Python 3.11.

What runs: WORKERS processes of one worker each (threads would share Python's lock), which exchange matches over
loopback. Each reads every WORKERS-th block of the file, decodes lines into typed structs, and evaluates the rules. Matches
are keyed by rule; one stateful step does dedup and storm limit; one file sink writes. msgspec skips the fields that no struct
names, which costs 40 % less than building a dictionary of the whole event.

Order: with one worker each rule sees its matches in file order, so the alerts are those of the reference; lines of different
rules are grouped within a batch (sort to compare). With more workers blocks are read side by side and a rule sees matches
nearly in file order: which of two matches opens a window, or is the 1,000th, can differ.

Left out: the raw event is not kept; indicators are not collected in a list of their own (fields that rules and alerts need
are); an event with a needed field of another type than CloudTrail's is skipped; no recovery store, so no exactly-once, though
source and state can be snapshotted.
"""
import csv
import multiprocessing
import os
import re
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.connectors.files import FileSink
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.run import cli_main

BLOCK = 1 << 20
HOUR = 3_600_000
LIMIT = 1_000
NULL = msgspec.Raw(b"null")

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
ASSUMED = re.compile(r"arn:aws:iam::[0-9]{12}:role/(Admin|OrganizationAccountAccessRole|.*-break-glass)").fullmatch
DISTRO = re.compile(r"kali|parrot|pentoo|pacu", re.I).search
TEMP = re.compile(r"(temp|test|tmp)-[a-z0-9]{4,}").fullmatch
DENIED = {"AccessDenied", "UnauthorizedOperation", "Client.UnauthorizedOperation"}
READS = ("List", "Describe", "Get")


class Issuer(msgspec.Struct, gc=False):
    userName: str | None = None


class Session(msgspec.Struct, gc=False):
    sessionIssuer: Issuer | None = None


class Identity(msgspec.Struct, gc=False):
    type: str | None = None
    arn: str | None = None
    principalId: str | None = None
    invokedBy: str | None = None
    accountId: str | None = None
    sessionContext: Session | None = None


class Event(msgspec.Struct, gc=False):
    eventTime: str
    userIdentity: Identity
    eventName: str | None = None
    eventSource: str | None = None
    eventType: str | None = None
    sourceIPAddress: str | None = None
    userAgent: str | None = None
    errorCode: str | None = None
    readOnly: bool | None = None
    recipientAccountId: str | None = None
    eventID: str | None = None
    # Only validated here; decoded by the few rules that ask for them.
    requestParameters: msgspec.Raw = NULL
    responseElements: msgspec.Raw = NULL
    additionalEventData: msgspec.Raw = NULL


decode = msgspec.json.Decoder(Event).decode


def at(raw, *path):
    """Value at a path below a raw field; null where a step is missing."""
    value = msgspec.json.decode(raw)
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


# Rules that ask for an event name, by that name: one dictionary look-up replaces up to sixteen comparisons.
def login(e, country, tor):
    answer = at(e.responseElements, "ConsoleLogin")
    if e.userIdentity.type == "Root":
        yield "R01"
    if answer == "Success" and at(e.additionalEventData, "MFAUsed") == "No":
        yield "R02"
    if answer == "Failure":
        yield "R03"


def assume(e, country, tor):
    account, recipient = e.userIdentity.accountId, e.recipientAccountId
    if account is not None and recipient is not None and account != recipient:
        role = at(e.requestParameters, "roleArn")
        if isinstance(role, str) and ASSUMED(role):
            yield "R12"


def when(rule, condition):
    def check(e, country, tor):
        return (rule,) if condition(e, tor) else ()
    return check


def source(rule, name):
    return when(rule, lambda e, tor: e.eventSource == name)


def asked(rule, *path, test):
    return when(rule, lambda e, tor: test(at(e.requestParameters, *path)))


def is_set(value):
    return value is not None


BY_NAME = {
    "ConsoleLogin": login,
    "CreateAccessKey": when("R06", lambda e, tor: e.errorCode is None and is_set(at(e.requestParameters, "userName"))),
    "AuthorizeSecurityGroupIngress": asked(
        "R08", "ipPermissions", "items", 0, "ipRanges", "items", 0, "cidrIp", test=lambda v: v == "0.0.0.0/0"),
    "GetSecretValue": when("R11", lambda e, tor: tor),
    "AssumeRole": assume,
    "ModifyInstanceAttribute": asked("R16", "userData", test=is_set),
    "ModifySnapshotAttribute": asked(
        "R17", "createVolumePermission", "add", "items", 0, "group", test=lambda v: v == "all"),
}
for rule, event_source, names in (
    ("R05", "cloudtrail.amazonaws.com", ("StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors")),
    ("R10", "kms.amazonaws.com", ("DisableKey", "ScheduleKeyDeletion")),
    ("R15", "guardduty.amazonaws.com", ("DeleteDetector", "UpdateDetector", "StopMonitoringMembers")),
):
    BY_NAME |= dict.fromkeys(names, source(rule, event_source))
BY_NAME |= dict.fromkeys(("AttachUserPolicy", "AttachRolePolicy", "AttachGroupPolicy"),
                         asked("R07", "policyArn", test=lambda v: v == ADMIN))
BY_NAME |= dict.fromkeys(("PutBucketAcl", "PutBucketPolicy"),
                         asked("R09", "acl", test=lambda v: isinstance(v, str) and v.startswith("public-read")))


def matcher(table):
    """Lines of a batch -> (rule, (principal, ts, ip, country, account, eventID))."""
    nowhere = (None, False)

    def match(lines):
        found = []
        for line in lines:
            try:
                e = decode(line)
                ts = int(datetime.fromisoformat(e.eventTime).timestamp()) * 1000
            except (msgspec.DecodeError, ValueError):  # not JSON, or not CloudTrail
                continue
            who, name, ip = e.userIdentity, e.eventName, e.sourceIPAddress
            kind = who.type
            country, tor = table.get(ip, nowhere)
            named = BY_NAME.get(name)
            hits = [*named(e, country, tor)] if named else []
            if kind == "Root" and who.invokedBy is None and e.eventType not in (None, "AwsServiceEvent"):
                hits.append("R04")
            if e.userAgent and DISTRO(e.userAgent):
                hits.append("R13")
            if kind == "IAMUser":
                if e.errorCode in DENIED and name and name.startswith(READS):
                    hits.append("R14")
                if tor and e.readOnly is False:
                    hits.append("R19")
            if country in ("KP", "IR", "RU") and name and name.startswith("UpdateFunctionCode"):
                hits.append("R18")
            if e.readOnly is False and ip is not None and (s := who.sessionContext) and s.sessionIssuer:
                if TEMP(s.sessionIssuer.userName or "") and not ip.startswith("10."):
                    hits.append("R20")
            if hits:
                principal = next((p for p in (who.arn, who.principalId, who.invokedBy) if p is not None), None)
                match = (principal, ts, ip, country, e.recipientAccountId, e.eventID)
                found += [(rule, match) for rule in hits]  # rules meet again only by key: their order does not matter
        return found

    return match


class DedupAndLimit(StatefulBatchLogic):
    """State of one rule: the open window of each principal, and the window of the storm limit."""

    def __init__(self, state):
        self.opened, self.start, self.count = state or ({}, 0, 0)

    def on_batch(self, matches):
        passed = []
        for match in matches:
            principal, ts = match[:2]
            first = self.opened.get(principal)
            if first is not None and ts - first < HOUR:
                continue
            self.opened[principal] = ts
            if not self.count or ts - self.start >= HOUR:
                self.start, self.count = ts, 0
            self.count += 1
            if self.count <= LIMIT:
                passed.append(match)
        return passed, StatefulBatchLogic.RETAIN

    def snapshot(self):
        return self.opened.copy(), self.start, self.count


class Blocks(StatefulSourcePartition):
    """Every step-th block of a file; a line belongs to the block that its first byte is in."""

    def __init__(self, path, block, step):
        self.file, self.block, self.step = open(path, "rb"), block, step

    def next_batch(self):
        begin = self.block * BLOCK
        end = begin + BLOCK
        if begin:  # the rest of a line that began before
            self.file.seek(begin - 1)
            self.file.readline()
        data = self.file.read(max(0, end - self.file.tell()))
        if data and not data.endswith(b"\n"):
            data += self.file.readline()
        elif not data and not self.file.read(1):
            raise StopIteration
        self.block += self.step
        return data.splitlines()

    def snapshot(self):
        return self.block

    def close(self):
        self.file.close()


class BlockSource(FixedPartitionedSource):
    def __init__(self, path, workers):
        self.path, self.workers = path, workers

    def list_parts(self):
        return [str(i) for i in range(self.workers)]

    def build_part(self, step_id, for_part, resume_state):
        return Blocks(self.path, int(for_part) if resume_state is None else resume_state, self.workers)


def alert(item):
    rule, (principal, ts, ip, country, account, event_id) = item
    fields = {"rule": rule, "principal": principal, "ts": ts, "ip": ip,
              "country": country, "account": account, "eventID": event_id}
    return rule, msgspec.json.encode(fields).decode()


def dataflow(events, table, out, workers):
    flow = Dataflow("common")
    lines = op.input("events", flow, BlockSource(events, workers))
    matches = op.flat_map_batch("rules", lines, matcher(table))
    alerts = op.stateful_batch("dedup_limit", matches, DedupAndLimit)
    op.output("alerts", op.map("json", alerts, alert), FileSink(out))
    return flow


def main(events, lookup, out, workers):
    workers = int(workers)
    with open(lookup, newline="") as f:
        table = {row["ip"]: (row["country"], row["is_tor"] == "true") for row in csv.DictReader(f)}
    os.makedirs(out, exist_ok=True)
    path = Path(out, "alerts.jsonl")
    path.unlink(missing_ok=True)
    flow = dataflow(events, table, path, workers)
    if workers == 1:
        return cli_main(flow)
    holds = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]  # finds free ports
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in holds]
    for s in holds:
        s.close()
    # Forked after the table is read: the processes share it.
    fork = multiprocessing.get_context("fork")
    others = [fork.Process(target=cli_main, args=(flow,), kwargs={"process_id": i, "addresses": addresses})
              for i in range(1, workers)]
    for p in others:
        p.start()
    cli_main(flow, process_id=0, addresses=addresses)
    for p in others:
        p.join()
        if p.exitcode:
            sys.exit(p.exitcode)


if __name__ == "__main__":
    main(*sys.argv[1:5])
