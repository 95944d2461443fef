"""From matches to alerts, for the peers that bring all matches back to Python: dedup, storm limit, the file of alerts."""
import json
import os

HOUR = 3_600_000
LIMIT = 1000


def alerts(rows):
    """Dedup by rule and principal, then the storm limit by rule, over the matches in order. A rule may be null."""
    opened, windows = {}, {}
    for hits, principal, ts, ip, country, account, event in rows:
        for rule in filter(None, hits):
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


def by_time(rows):
    """An order that does not depend on which thread was first."""
    return sorted(rows, key=lambda row: (row[2], row[6], row[1]))


def write(rows, out):
    """Write the alerts of rows (rules, principal, ts, ip, country, account, eventID) to OUT/alerts.jsonl."""
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "alerts.jsonl"), "w", encoding="utf-8") as f:
        for alert in alerts(rows):
            f.write(json.dumps(alert, separators=(",", ":"), ensure_ascii=False) + "\n")
