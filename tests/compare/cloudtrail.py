#!/usr/bin/env python3
"""Events of AWS CloudTrail as expected. Nothing of a record may be lost, so the expected event is the record itself:
without nulls and empty values where the reference describes a fixed shape (the top, userIdentity, tlsDetails), as it
is where it does not (requestParameters and its like).

usage: cloudtrail.py FILE|FOLDER…
"""
import json
import re
import sys

import common

REQUIRED = (
    "eventVersion userIdentity eventTime eventSource eventName awsRegion sourceIPAddress eventID eventType".split()
)
SHAPED = ("userIdentity", "tlsDetails")
FREE = (
    "additionalEventData addendum edgeDeviceDetails eventContext insightDetails requestParameters resources "
    "responseElements serviceEventDetails".split()
)
SETS = (
    "ip_addresses domain_names aws_arns aws_account_ids aws_instance_ids aws_tags trace_ids usernames emails".split()
)
BOOLEAN = ("readOnly", "managementEvent", "sessionCredentialFromConsole")
ARN = re.compile(r"arn:[a-z-]+:[^:]*:[^:]*:(?:\d{12}|aws)?:.+", re.S)


def records(paths):
    """(place, record or text) of delivery objects and of lines."""
    for path in common.files(paths):
        text = common.read(path)
        try:
            whole = json.loads(text)
        except ValueError:
            whole = None
        if isinstance(whole, dict) and isinstance(whole.get("Records"), list):
            yield from ((f"{path}[{i}]", record) for i, record in enumerate(whole["Records"]))
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    yield f"{path}:{number}", json.loads(line)
                except ValueError as error:
                    yield f"{path}:{number}", f"not JSON: {error}"


def expect(record):
    if not isinstance(record, dict):
        return record if isinstance(record, str) else "not an object"
    missing = [name for name in REQUIRED if record.get(name) is None]
    if missing:
        return f"without {', '.join(missing)}"
    event = {}
    for name, value in record.items():
        if name in BOOLEAN and value in ("true", "false"):
            value = value == "true"
        event[name] = common.pruned(value) if name in SHAPED else value
    event = {name: value for name, value in event.items() if value not in (None, "", {}, [])}
    event["eventTime"] = event["p_event_time"] = common.rfc3339(record["eventTime"])
    if event["eventTime"] is None:
        return f"eventTime is {record['eventTime']!r}"
    for name, values in indicators(event).items():
        if values:
            event[name] = sorted(values)
    return event


def indicators(event):
    """The sets that AWS names, addresses and hosts of an event go to."""
    sets = {f"p_any_{n}": set() for n in SETS}

    def arn(text):
        if not ARN.fullmatch(text):
            return
        sets["p_any_aws_arns"].add(text)
        _, _, _, _, account, resource = text.split(":", 5)
        if re.fullmatch(r"\d{12}", account):
            sets["p_any_aws_account_ids"].add(account)
        if resource.startswith("instance/i-"):
            sets["p_any_aws_instance_ids"].add(resource.split("/")[1])
        if resource.startswith("assumed-role/") and "@" in resource.rsplit("/", 1)[1]:
            sets["p_any_emails"].add(resource.rsplit("/", 1)[1])

    def account(text):
        if re.fullmatch(r"\d{12}", text or ""):
            sets["p_any_aws_account_ids"].add(text)

    def host(text):
        text = (text or "").strip()
        if text:
            sets["p_any_ip_addresses" if common.is_ip(text) else "p_any_domain_names"].add(text)

    def free(value, key=""):
        if isinstance(value, dict):
            for name, inner in value.items():
                free(inner, name)
        elif isinstance(value, list):
            for item in value:
                if key == "tags" and isinstance(item, dict):
                    if isinstance(item.get("key"), str) and isinstance(item.get("value"), str):
                        sets["p_any_aws_tags"].add(f"{item['key']}:{item['value']}")
                free(item, key)
        elif isinstance(value, str):
            if value.startswith("arn:"):
                arn(value)
            if key == "instanceId" or key.endswith("InstanceId"):
                if value.startswith("i-"):
                    sets["p_any_aws_instance_ids"].add(value)
            if key == "accountId" or key.endswith("AccountId"):
                account(value)
            if key in ("ipv6Addresses", "publicIp", "privateIpAddress", "ipAddressV4") and common.is_ip(value):
                sets["p_any_ip_addresses"].add(value)
            if key in ("publicDnsName", "privateDnsName", "domain") and value.strip():
                sets["p_any_domain_names"].add(value.strip())

    for name in FREE:
        free(event.get(name), name)
    who = event["userIdentity"]
    session = who.get("sessionContext", {})
    for holder in (who, session.get("sessionIssuer", {})):
        arn(holder.get("arn", ""))
        account(holder.get("accountId"))
        if holder.get("userName"):
            sets["p_any_usernames"].add(holder["userName"])
    if who.get("accessKeyId"):
        sets["p_any_trace_ids"].add(who["accessKeyId"])
    free(who.get("inScopeOf"), "inScopeOf")
    federation = session.get("webIdFederationData", {})
    arn(federation.get("federatedProvider", ""))
    free(federation.get("attributes"), "attributes")
    arn(who.get("onBehalfOf", {}).get("identityStoreArn", ""))
    account(event.get("recipientAccountId"))
    account(event.get("vpcEndpointAccountId"))
    host(event["sourceIPAddress"])
    host(event.get("tlsDetails", {}).get("clientProvidedHostHeader"))
    return sets


if __name__ == "__main__":
    common.run((place, expect(record)) for place, record in records(sys.argv[1:]))
