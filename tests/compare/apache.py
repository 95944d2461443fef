#!/usr/bin/env python3
"""Events of Apache's combined access log as expected, one regular expression for `LogFormat` combined and
vhost_combined: `[%v:%p ]%h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"`.

usage: apache.py FILE|FOLDER…
"""
import re
import sys

import common

QUOTED = r'"((?:[^"\\]|\\.|"(?! |$))*)"'
LINE = re.compile(
    r"(?:(?P<vhost>[^ :]+):(?P<port>\d+) (?=\S+ \S+ \S+ ?.*\[))?"
    r"(?P<host>\S+) (?P<ident>\S+) (?P<user>.+?) "
    r"\[(?P<day>\d\d)/(?P<month>[A-Z][a-z][a-z])/(?P<year>\d{4}):(?P<time>\d\d:\d\d:\d\d) (?P<zone>[+-]\d{4})\] "
    + QUOTED + r" (?P<status>\d{3}|-) (?P<size>\d+|-) " + QUOTED + " " + QUOTED
)
REQUEST = re.compile(r"([A-Za-z_-]+) (.*?)(?: (HTTP/\S+))?")


def expect(line):
    match = LINE.fullmatch(line)
    if not match:
        return "not the combined format"
    get = match.groupdict().get
    request, referer, agent = (g for g, n in zip(match.groups(), names(match)) if n is None)
    hour, minute, second = map(int, get("time").split(":"))
    moment = common.point(int(get("year")), common.MONTHS.get(get("month"), 0), int(get("day")), hour, minute, second, "", get("zone"))
    if moment is None:
        return "no such day"
    event = {"request_time": moment, "p_event_time": moment}
    common.put(event, remote_host_ip_address=get("host"), client_identity_rfc_1413=get("ident"), request_user=get("user"))
    common.put(event, referer=referer, user_agent=agent, virtual_host=get("vhost"))
    parts = REQUEST.fullmatch(request)
    if parts:
        common.put(event, request_method=parts[1], request_uri=parts[2], request_protocol=parts[3])
    else:
        common.put(event, request_uri=request)
    for name, value in (("response_status", get("status")), ("response_size", get("size")), ("virtual_port", get("port"))):
        if value not in (None, "-"):
            event[name] = int(value)
    host = get("host")
    hosts = {h for h in (host, get("vhost")) if h}
    for field, wanted in (("p_any_ip_addresses", True), ("_domains", False)):
        found = sorted(h for h in hosts if common.is_ip(h) == wanted)
        if wanted and found:
            event[field] = found
    return event


def names(match):
    """Name of each group, None for those without."""
    by_index = {index: name for name, index in match.re.groupindex.items()}
    return [by_index.get(i + 1) for i in range(match.re.groups)]


if __name__ == "__main__":
    common.run((place, expect(line)) for place, line in common.lines(sys.argv[1:]))
