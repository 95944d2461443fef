#!/usr/bin/env python3
"""Many rules for the common workload, made from its twenty by other constants, fields and expressions.

    many.py OUTDIR [SEED]   -> OUTDIR/rules-1000, rules-5000: the twenty and as many more; rules-other: the twenty and 3,000
                               for a log type that does not occur

Every generated rule keeps the shape of the one it comes from. One constant of it is a name that no event has, so that what
is measured is looking, not alerting; the others are names that do occur as often as names that do not.
"""
import random
import re
import sys
from pathlib import Path

RULES = Path(__file__).with_name("rules")
WORDS = "Create Delete Update Put Get List Describe Attach Detach Enable Disable Start Stop Modify Register".split()
THINGS = "User Role Group Key Bucket Policy Instance Volume Snapshot Trail Detector Function Queue Topic Cluster".split()
SERVICES = "iam ec2 s3 kms sts lambda guardduty cloudtrail secretsmanager sqs sns eks rds dynamodb".split()
FIELDS = {
    "requestParameters.roleArn": ["roleArn", "roleName", "policyArn", "targetArn", "resourceArn"],
    "requestParameters.policyArn": ["policyArn", "policyName", "roleArn", "groupName"],
    "requestParameters.acl": ["acl", "bucketName", "key", "prefix"],
    "requestParameters.userName": ["userName", "groupName", "roleName", "instanceProfileName"],
    "requestParameters.userData": ["userData", "instanceId", "imageId", "keyName"],
}


def name(r):
    return r.choice(WORDS) + r.choice(THINGS)


def constant(r, key, text, odd):
    """Another value for a constant: `odd` is one that no event has."""
    if text in ("true", "false") or text.startswith(('"No', '"10.')):
        return text
    if "eventName" in key:
        return name(r) + (f"V{r.randrange(10**6)}" if odd else "")
    if "eventSource" in key:
        return (f"svc{r.randrange(10**6)}" if odd else r.choice(SERVICES)) + ".amazonaws.com"
    if text.startswith("'"):  # an expression: other words in it
        return re.sub(r"[a-z]{3,}(?=[|)])", lambda _: f"{r.choice(THINGS).lower()}{r.randrange(1000)}", text)
    return f'"{text.strip(chr(34))}{r.randrange(10**6)}"' if odd else text


def another(r, text, number, log_type):
    head, detection, rest = re.split(r"(?<=Detection:\n)|(?=GroupBy:)", text)
    head = re.sub(r"RuleID: \w+", f"RuleID: M{number:05}", head)
    head = re.sub(r"DisplayName: (.*)", rf"DisplayName: \1, {number}", head).replace("AWS.CloudTrail", log_type)
    lines, odd = detection.splitlines(), True
    for i, line in enumerate(lines):
        key = re.search(r"KeyPath: '?([\w.\[\]]+)", line)
        key = key[1] if key else ""
        if key in FIELDS:
            line = line.replace(key, "requestParameters." + r.choice(FIELDS[key]))
        value = re.search(r"Value: ('.*'|[^}]*)}", line)
        if value:
            new = constant(r, key, value[1], odd)
            line, odd = line.replace(value[0], f"Value: {new}}}"), odd and new == value[1]
        values = re.search(r"Values: \[([^{\]]*)\]", line)
        if values and "Enrichment" not in line:
            new = [constant(r, key, v, odd) for v in values[1].split(", ")]
            line, odd = line.replace(values[0], f"Values: [{', '.join(new)}]"), False
        lines[i] = line
    if odd:  # nothing to vary but what occurs
        lines.append(f"  - {{KeyPath: requestParameters.name{number % 50}, Condition: Equals, Value: x{number}}}")
    return head + "\n".join(lines) + "\n" + rest


def main():
    out, seed = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20260301
    base = {p.name: p.read_text() for p in sorted(RULES.glob("*.yml"))}
    texts = list(base.values())
    for folder, more, log_type in [
        ("rules-1000", 980, "AWS.CloudTrail"),
        ("rules-5000", 4980, "AWS.CloudTrail"),
        ("rules-other", 3000, "GitHub.Audit"),
    ]:
        r = random.Random(f"{seed} {folder}")
        (out / folder).mkdir(parents=True)
        for file, text in base.items():
            (out / folder / file).write_text(text)
        for n in range(more):
            text = another(r, texts[n % len(texts)], n, log_type)
            (out / folder / f"M{n:05}.yml").write_text(text)


if __name__ == "__main__":
    main()
