#!/usr/bin/env python3
"""Events of Apache's combined access log as expected, one regular expression for `LogFormat` combined and
vhost_combined: `[%v:%p ]%h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"`.

usage: apache.py FILE|FOLDER…
"""
import re
import sys

import common

QUOTED = r'"(?P<%s>(?:[^"\\]|\\.|"(?! |$))*)"'
LINE = re.compile(
    r"(?:(?P<vhost>[^ :]+):(?P<port>\d+) (?=\S+ \S+ \S+ ?.*\[))?"
    r"(?P<host>\S+) (?P<ident>\S+) (?P<user>.+?) "
    r"\[(?P<day>\d\d)/(?P<month>[A-Z][a-z][a-z])/(?P<year>\d{4}):(?P<time>\d\d:\d\d:\d\d) (?P<zone>[+-]\d{4})\] "
    + QUOTED % "request"
    + r" (?P<status>\d{3}|-) (?P<size>\d+|-) "
    + QUOTED % "referer"
    + " "
    + QUOTED % "agent"
)
REQUEST = re.compile(r"([A-Za-z_-]+) (.*?)(?: (HTTP/\S+))?")


def expect(line):
    match = LINE.fullmatch(line)
    if not match:
        return "not the combined format"
    get = match.group
    clock = map(int, get("time").split(":"))
    month = common.MONTHS.get(get("month"), 0)
    moment = common.point(int(get("year")), month, int(get("day")), *clock, "", get("zone"))
    if moment is None:
        return "no such day"
    event = {"request_time": moment, "p_event_time": moment}
    host, vhost = get("host"), get("vhost")
    common.put(event, remote_host_ip_address=host, client_identity_rfc_1413=get("ident"), request_user=get("user"))
    common.put(event, referer=get("referer"), user_agent=get("agent"), virtual_host=vhost)
    parts = REQUEST.fullmatch(get("request"))
    if parts:
        common.put(event, request_method=parts[1], request_uri=parts[2], request_protocol=parts[3])
    else:
        common.put(event, request_uri=get("request"))
    for name, value in (("response_status", get("status")), ("response_size", get("size")), ("virtual_port", get("port"))):
        if value not in (None, "-"):
            event[name] = int(value)
    if get("user") != "-":
        event["p_any_usernames"] = [get("user")]
    addresses = sorted({h for h in (host, vhost) if h and common.is_ip(h)} | referred(get("referer")))
    common.put(event, p_any_ip_addresses=addresses)
    return event


def referred(url):
    """The address that a referer names, if its host is one."""
    match = re.match(r"[a-z]+://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)", url)
    host = match[1].strip("[]") if match else ""
    return {host} if common.is_ip(host) else set()


if __name__ == "__main__":
    common.run((place, expect(line)) for place, line in common.lines(sys.argv[1:]))
