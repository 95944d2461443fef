#!/usr/bin/env python3
"""Syslog messages as expected, from the grammars of RFC 3164 and RFC 5424 and from what is seen in files: no priority
(13 by RFC 3164, 4.3.3), RFC 3339 times (rsyslog), a severity in place of the host (ChromeOS) or after the tag (macOS).

usage: syslog.py --rfc 3164|5424 --now DAY FILE|FOLDER…
"""
import argparse
import datetime
import re

import common

PRI = re.compile(r"<(\d{1,3})>")
ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
BSD = re.compile(r"([A-Z][a-z]{2}) +(\d{1,2}) (?:(\d{4}) )?(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?=[ :]|$)")
TAG = re.compile(r'([^\s\[\]<>":]+(?::[^\s\[\]<>":]+)*)(?:\[([^\]\s]+)\](:?)|:)(?= |$)')
SEVERITIES = "EMERG ALERT CRIT ERR WARNING NOTICE INFO DEBUG".split()
ALSO = {"EMERGENCY": 0, "PANIC": 0, "CRITICAL": 2, "ERROR": 3, "WARN": 4}
HEADER = re.compile(rf"(\d{{1,3}}) (-|{ISO})(?: (\S+)(?: (\S+)(?: (\S+)(?: (\S+)(?: (.*))?)?)?)?)?", re.S)
ELEMENT = re.compile(r'\[([^ \]="]+)((?: +[^ \]="]+="(?:[^"\\]|\\.)*")*) *\]')
PARAMETER = re.compile(r'([^ \]="]+)="((?:[^"\\]|\\.)*)"')


def severity(word):
    word = word.upper()
    return SEVERITIES.index(word) if word in SEVERITIES else ALSO.get(word)


def priority(event, value):
    event.update(priority=value, facility=value // 8, severity=value % 8)


def year_for(month, day, now):
    """The latest year in which the day exists and is not more than 31 days ahead."""
    year = now.year
    while year > now.year - 9:
        try:
            if datetime.date(year, month, day) <= now + datetime.timedelta(days=31):
                return year
        except ValueError:
            pass
        year -= 1
    return None


def bsd(text, now):
    match = BSD.match(text)
    if not match or match[1] not in common.MONTHS:
        return None, 0
    month, day = common.MONTHS[match[1]], int(match[2])
    year = int(match[3]) if match[3] else year_for(month, day, now)
    moment = year and common.point(year, month, day, *map(int, match.group(4, 5, 6)), match[7])
    return moment, match.end()


def rfc3164(line, now):
    match, given, rest = PRI.match(line), None, line
    if match:
        given, rest = int(match[1]), line[match.end():].lstrip()
        if given > 191:
            return "no such priority"
        if re.match(r"\d\d? ", rest):
            return "RFC 5424"
    event, host, found = {}, None, None
    iso = re.match(ISO + r"(?= |$)", rest)
    if iso:
        moment, after = common.rfc3339(iso[0]), rest[iso.end():].lstrip()
    else:
        moment, end = bsd(rest, now)
        after = rest[end:]
    if moment is None and given is None:
        return "no priority and no time"
    if moment is None:
        after = rest
    elif not iso and after.startswith(":"):
        after = after.lstrip(":").lstrip()
    else:
        after = after.lstrip()
        if iso and given is None and re.match(r"(stdout|stderr) [PF]( |$)", after):
            return "a container runtime's log"
        word, _, more = after.partition(" ")
        found = severity(word) if given is None else None
        if found is not None:
            after = more.lstrip()
        elif not TAG.match(after):
            host, after = word, more.lstrip()
    tag = TAG.match(after)
    if tag:
        common.put(event, appname=tag[1], procid=tag[2])
        after = after[tag.end():]
        marked = re.match(r" *<(\w+)>:", after)
        if marked and given is None and severity(marked[1]) is not None:
            found, after = severity(marked[1]), after[marked.end():]
    priority(event, given if given is not None else 13 if found is None else 8 + found)
    common.put(event, timestamp=moment, p_event_time=moment, hostname=host, message=after.strip())
    return event


def rfc5424(line, _now):
    match = PRI.match(line)
    if not match or int(match[1]) > 191:
        return "no priority"
    header = HEADER.fullmatch(line[match.end():])
    if not header or int(header[1]) == 0:
        return "no version and time after the priority"
    event = {"version": int(header[1])}
    priority(event, int(match[1]))
    moment = common.rfc3339(header[2])
    common.put(event, timestamp=moment, p_event_time=moment)
    common.put(event, hostname=header[3], appname=header[4], procid=header[5], msgid=header[6])
    rest, data, at = header[7] or "", {}, 0
    if rest == "-" or rest.startswith("- "):
        rest = rest[1:]
    else:
        while element := ELEMENT.match(rest, at):
            values = {n: re.sub(r'\\(["\\\]])', r"\1", v) for n, v in PARAMETER.findall(element[2])}
            data.setdefault(element[1], {}).update(values)
            at = element.end()
        if data and (at == len(rest) or rest[at] == " "):
            event["structured_data"] = data
            rest = rest[at:]
    common.put(event, message=rest.strip().lstrip("\ufeff").strip())
    return event


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--rfc", choices=["3164", "5424"], required=True)
    args.add_argument("--now", required=True, help="day that counts as today, for times without a year")
    args.add_argument("paths", nargs="+")
    args = args.parse_args()
    now = datetime.date.fromisoformat(args.now)
    expect = {"3164": rfc3164, "5424": rfc5424}[args.rfc]
    common.run((place, expect(line, now)) for place, line in common.lines(args.paths))


if __name__ == "__main__":
    main()
