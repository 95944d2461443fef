#!/usr/bin/env python3
"""The common workload on Flink: compiles FlinkCommon.java once and runs it.

    flink_common.py INPUT LOOKUP OUT WORKERS [--checkpoint MILLISECONDS]

Pinned: apache-flink-libraries 2.3.0 (requirements-flink.txt: the jars of apache-flink without Python's part), with the Jackson
that they shade; a JDK of Debian (javac, 17 or newer).

What runs: one JVM with Flink's local cluster, parallelism WORKERS, DataStream API; start of the JVM and its compiler count.
`--checkpoint 5000` adds exactly-once checkpoints of source, state and sink every 5 s (heap state, checkpoints in OUT).
The classes are kept in the venv: the first run compiles, and should not be measured.

Order: with one worker the file is one split and each rule sees its matches in file order. With more, splits of 32 MB are read
side by side: which of two matches opens a window, or is the 1,000th, can differ from the reference.

Left out: the raw event is not kept; indicators are not collected in a list of their own; an event with a needed field of
another type than CloudTrail's is skipped.
"""
import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

SOURCE = Path(__file__).with_name("FlinkCommon.java")
LIB = Path(sysconfig.get_path("purelib"), "pyflink", "lib")
# Flink serialises with reflection into these.
OPENS = [f"--add-opens=java.base/java.{p}=ALL-UNNAMED" for p in ("lang", "util", "util.concurrent", "time", "net", "nio")]


def classes(jars):
    folder = Path(sys.prefix, "common-" + hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12])
    if not folder.exists():
        part = folder.with_suffix(".part")
        subprocess.run(["javac", "-nowarn", "-d", part, "-cp", jars, SOURCE], check=True)
        part.rename(folder)
    return folder


def main():
    args = argparse.ArgumentParser()
    for name in ("input", "lookup", "out", "workers"):
        args.add_argument(name)
    args.add_argument("--checkpoint", default="0", metavar="MILLISECONDS")
    a = args.parse_args()
    jars = ":".join(str(LIB / f"flink-{j}-2.3.0.jar") for j in ("dist", "connector-files"))
    jars += "".join(f":{j}" for j in sorted(LIB.glob("log4j-*.jar")))
    for old in ("parts", "checkpoints"):
        shutil.rmtree(Path(a.out, old), ignore_errors=True)
    os.makedirs(a.out, exist_ok=True)
    java = ["java", "-Xmx2g", "-XX:+UseParallelGC", *OPENS, "-cp", f"{classes(jars)}:{jars}", "FlinkCommon",
            a.input, a.lookup, a.out, a.workers, a.checkpoint]
    os.execvp("java", java)


if __name__ == "__main__":
    main()
