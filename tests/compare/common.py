"""What the second opinions share: reading lines, writing events, points in time. Standard library only."""
import calendar
import gzip
import ipaddress
import json
import os
import re
import sys

MONTHS = {m: i + 1 for i, m in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}
RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$")


def files(paths):
    """Files named, and files in the folders named, in order of name."""
    for path in paths:
        if os.path.isdir(path):
            for folder, folders, names in os.walk(path):
                folders.sort()
                yield from (os.path.join(folder, name) for name in sorted(names))
        else:
            yield path


def read(path):
    """Text of a file, decompressed if its name ends in .gz."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return file.read()


def lines(paths):
    """(place, line) of every line with text in it."""
    for path in files(paths):
        for number, line in enumerate(read(path).split("\n"), 1):
            if line.strip():
                yield f"{path}:{number}", line.strip()


def run(events):
    """Print events; `events` yields (place, event) or (place, reason why there is none)."""
    count = refused = 0
    for place, event in events:
        if isinstance(event, str):
            refused += 1
            print(f"{place}: {event}", file=sys.stderr)
        else:
            count += 1
            print(json.dumps(event, ensure_ascii=False))
    print(f"{count} events, {refused} lines of another kind", file=sys.stderr)


def point(year, month, day, hour, minute, second, fraction="", zone="Z"):
    """A point in time, or None if there is no such day."""
    if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    if zone not in ("Z", ""):
        digits = zone[1:].replace(":", "")
        offset = int(digits[:2]) * 3600 + int(digits[2:]) * 60
        seconds += offset if zone[0] == "-" else -offset
    return {"$time": seconds * 10**9 + int(((fraction or "0") + "0" * 9)[:9])}


def rfc3339(text):
    """An RFC 3339 text as a point in time, or None."""
    match = RFC3339.match(text or "")
    if not match:
        return None
    *numbers, fraction, zone = match.groups()
    return point(*map(int, numbers), fraction, zone)


def is_ip(text):
    """True for an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
        return "%" not in text
    except ValueError:
        return False


def pruned(value):
    """A typed object without null and empty values, at every level of objects."""
    if isinstance(value, dict):
        value = {k: pruned(v) for k, v in value.items()}
        return {k: v for k, v in value.items() if v not in (None, "", {}, [])}
    return value


def put(event, **fields):
    """Add the fields that have a value: `-`, empty and None have none."""
    event.update({k: v for k, v in fields.items() if v not in (None, "", "-", [], {})})
