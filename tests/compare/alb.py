#!/usr/bin/env python3
"""Events of AWS ALB access logs as expected: the columns of the syntax table in the ELB user guide, in its order.

usage: alb.py FILE|FOLDER…
"""
import re
import sys

import common

TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"(?= |$)|([^ "][^ ]*)')
NAMES = (
    "type timestamp elb client target requestProcessingTime targetProcessingTime responseProcessingTime "
    "elbStatusCode targetStatusCode receivedBytes sentBytes request userAgent sslCipher sslProtocol targetGroupArn "
    "traceId domainName chosenCertArn matchedRulePriority requestCreationTime actionsExecuted redirectUrl errorReason "
    "targetPortList targetStatusCodeList classification classificationReason connTraceId transformedHost "
    "transformedUri requestTransformStatus"
).split()
FLOATS = [n for n in NAMES if n.endswith("ProcessingTime")]
INTEGERS = "elbStatusCode targetStatusCode receivedBytes sentBytes matchedRulePriority".split()
ADDRESS = re.compile(r"\[?(.*?)\]?:(\d+)")


def expect(line):
    values = [m.group(1) if m.group(2) is None else m.group(2) for m in TOKEN.finditer(line)]
    if len(values) < 25:
        return f"{len(values)} columns, not 25 or more"
    raw = dict(zip(NAMES, values))
    moment = common.rfc3339(raw.pop("timestamp"))
    if moment is None:
        return "column 2 is not a time"
    event = {"timestamp": moment, "p_event_time": moment}
    for side in ("client", "target"):
        address = ADDRESS.fullmatch(raw.pop(side))
        if address:
            common.put(event, **{side + "Ip": address.group(1), side + "Port": int(address.group(2))})
    for name in FLOATS:
        value = raw.pop(name)
        if value != "-":
            event[name] = float(value)
    for name in INTEGERS:
        value = raw.pop(name)
        if value != "-":
            event[name] = int(value)
    request = re.fullmatch(r"(\S+) (.*) (\S*)", raw.pop("request"))
    if request:
        names = ("requestHttpMethod", "requestUrl", "requestHttpVersion")
        common.put(event, **dict(zip(names, request.groups())))
    created = common.rfc3339(raw.pop("requestCreationTime"))
    actions = [a for a in raw.pop("actionsExecuted").split(",") if a not in ("", "-")]
    targets = [t for t in raw.pop("targetPortList", "").split(" ") if t not in ("", "-")]
    codes = [int(c) for c in raw.pop("targetStatusCodeList", "").split(" ") if c not in ("", "-")]
    common.put(event, requestCreationTime=created, actionsExecuted=actions, targetPortList=targets, targetStatusCodeList=codes)
    common.put(event, **raw)
    return event


if __name__ == "__main__":
    common.run((place, expect(line)) for place, line in common.lines(sys.argv[1:]))
