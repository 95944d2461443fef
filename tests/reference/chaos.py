#!/usr/bin/env python3
"""Plain reference of the fault tests' job (tests/kafka/job): one event after the other, one dictionary per state.

    chaos.py EVENTS LOOKUP.csv [LIMIT] > alerts.jsonl

A line that is not JSON is rejected, route "filter" is dropped. An alert opens a window of an hour of event time for its
(rule, dedup string); a rule alerts LIMIT times in a window of an hour that its first alert opens.
"""
import csv
import json
import sys
from datetime import datetime, timezone

HOUR = 3_600_000


def rules(e, watch):
    if e["action"] == "login_failed":
        yield "C01", str(e["key"])
    if e["action"] == "read_secret" and watch.get(e["ip"]) == "true":
        yield "C02", str(e["key"])
    if e["action"] == "storm":
        yield "C03", str(e["seq"])


def main(events, lookup, limit=1000):
    with open(lookup, newline="") as f:
        watch = {row["ip"]: row["is_tor"] for row in csv.DictReader(f)}
    opened, windows = {}, {}
    with open(events, encoding="utf-8") as f:
        for line in f:
            try:
                e = json.loads(line)
            except ValueError:
                continue
            if e["route"] == "filter":
                continue
            for rule, dedup in rules(e, watch):
                when = datetime.fromisoformat(e["ts"].removesuffix("Z")).replace(tzinfo=timezone.utc)
                ts = round(when.timestamp() * 1000)
                first = opened.get((rule, dedup))
                if first is not None and ts - first < HOUR:
                    continue
                opened[rule, dedup] = ts
                start, count = windows.get(rule, (ts, 0))
                if count and ts - start >= HOUR:
                    start, count = ts, 0
                windows[rule] = (start, count + 1)
                if count < int(limit):
                    print(json.dumps({"rule": rule, "dedup": dedup, "seq": e["seq"]}, separators=(",", ":")))


if __name__ == "__main__":
    main(*sys.argv[1:4])
