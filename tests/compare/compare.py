#!/usr/bin/env python3
"""Compare the product's events with those of a second opinion, field by field.

usage: compare.py [--key FIELD] [--ignore FIELD,…] [--show N] OURS.jsonl THEIRS.jsonl
"""
import argparse
import collections
import json
import re
import sys

import common

STORED = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?$")


def load(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def nanoseconds(value):
    """Any way the product may write a time."""
    text = str(value)
    match = STORED.match(text)
    if match:
        *numbers, fraction, zone = match.groups()
        moment = common.point(*map(int, numbers), fraction, zone or "Z")
        return moment and moment["$time"]
    if re.fullmatch(r"\d+(\.\d+)?", text):
        whole, _, part = text.partition(".")
        return int(whole) * 10**9 + int((part + "0" * 9)[:9])
    return None


def same(ours, theirs):
    if isinstance(theirs, dict) and set(theirs) == {"$time"}:
        return ours is not None and nanoseconds(ours) == theirs["$time"]
    if isinstance(theirs, bool) or isinstance(ours, bool):
        return ours is theirs
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return theirs.keys() == ours.keys() and all(same(ours[k], v) for k, v in theirs.items())
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(same, ours, theirs))
    return ours == theirs


def pairs(ours, theirs, key):
    """Events side by side; None where one side has none."""
    if not key:
        for i in range(max(len(ours), len(theirs))):
            yield (ours[i] if i < len(ours) else None), (theirs[i] if i < len(theirs) else None)
        return
    waiting = collections.defaultdict(list)
    for event in ours:
        waiting[event.get(key)].append(event)
    for event in theirs:
        found = waiting[event.get(key)]
        yield (found.pop(0) if found else None), event
    for rest in waiting.values():
        for event in rest:
            yield event, None


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--key", help="pair events by this field, not by order")
    args.add_argument("--ignore", default="", help="fields not to compare, with commas")
    args.add_argument("--show", type=int, default=20, help="differences to print")
    args.add_argument("ours")
    args.add_argument("theirs")
    args = args.parse_args()
    ours, theirs = load(args.ours), load(args.theirs)
    ignore = set(filter(None, args.ignore.split(",")))
    alone = events = fields = shown = 0
    different = collections.Counter()

    def show(text):
        nonlocal shown
        shown += 1
        if shown <= args.show:
            print(text)

    for number, (left, right) in enumerate(pairs(ours, theirs, args.key), 1):
        if left is None or right is None:
            alone += 1
            side, event = ("ours", left) if right is None else ("theirs", right)
            show(f"event {number}: only {side} has {json.dumps(event, ensure_ascii=False)[:200]}")
            continue
        events += 1
        standard = {k for k in left if k.startswith("p_")} - right.keys()
        for name in sorted((left.keys() | right.keys()) - ignore - standard):
            fields += 1
            if not same(left.get(name), right.get(name)):
                different[name] += 1
                mine, other = (json.dumps(e.get(name), ensure_ascii=False)[:300] for e in (left, right))
                show(f"event {number}, {name}:\n  ours   {mine}\n  theirs {other}")
    if shown > args.show:
        print(f"… {shown - args.show} more")
    print(f"{len(ours)} events of ours, {len(theirs)} of theirs, {events} pairs, {fields} fields compared")
    for name, count in different.most_common():
        print(f"  {name}: {count} different")
    print(f"{alone} events on one side only, {sum(different.values())} fields different")
    sys.exit(1 if alone or different or not events else 0)


if __name__ == "__main__":
    main()
