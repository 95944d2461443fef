#!/usr/bin/env python3
"""Events of Zeek's dns.log in JSON as expected: every column that dns.log documents, nothing else.

usage: zeek_dns.py FILE|FOLDER…
"""
import decimal
import json
import sys

import common

REQUIRED = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto".split()
COLUMNS = REQUIRED + (
    "trans_id rtt query qclass qclass_name qtype qtype_name rcode rcode_name AA TC RD RA Z answers TTLs rejected auth "
    "addl opcode opcode_name original_query".split()
)


def expect(line):
    try:
        record = json.loads(line, parse_float=decimal.Decimal)
    except ValueError as error:
        return f"not JSON: {error}"
    if record.get("@stream", "dns") != "dns":
        return f"stream {record['@stream']}"
    # Exports that cannot keep a dot in a key write an underscore.
    record = {k.replace("id_", "id.", 1) if k.startswith(("id_orig_", "id_resp_")) else k: v for k, v in record.items()}
    missing = [name for name in REQUIRED if record.get(name) is None]
    if missing:
        return f"without {', '.join(missing)}"
    event = {name: record[name] for name in COLUMNS if record.get(name) not in (None, "", [])}
    moment = {"$time": int(decimal.Decimal(str(event["ts"])) * 10**9)}
    event["ts"] = event["p_event_time"] = moment
    for name in "id.orig_p id.resp_p trans_id".split():
        if name in event:
            event[name] = int(event[name])
    hosts = [event.get("query", "")] + [a for a in event.get("answers", []) if a]
    addresses = {event["id.orig_h"], event["id.resp_h"], *hosts[1:]}
    event["p_any_ip_addresses"] = sorted(a for a in addresses if common.is_ip(a))
    return json.loads(json.dumps(event, default=float))


if __name__ == "__main__":
    common.run((place, expect(line)) for place, line in common.lines(sys.argv[1:]))
