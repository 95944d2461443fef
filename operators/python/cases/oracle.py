"""The same functions on the same events in CPython: what the evaluator is compared with.

    python3 oracle.py cases FOLDER SEED     the cases of FOLDER on events of a seed, as JSON lines
    python3 oracle.py fuzz COUNT SEED       random expressions, in the same form
    python3 oracle.py corpus CHECKOUT SEED  the rules of a checkout on its test events and on mutations of them

The event and the data models are those of the workers (`runtime/`).
"""

import copy
import glob
import importlib.util
import json
import os
import random
import sys
import types

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "runtime"))
sys.dont_write_bytecode = True

from panther_core import ImmutableCaseInsensitiveDict, ImmutableList, PantherEvent  # pylint: disable=wrong-import-position
from panther_core.data_model import DataModel, Method, Path  # pylint: disable=wrong-import-position


def canonical(value):
    """A text that says type and content, with sets in order."""
    if isinstance(value, (ImmutableCaseInsensitiveDict, ImmutableList)):
        return f"<{type(value).__name__} {canonical(value.copy())}>"
    if isinstance(value, (set, frozenset)):
        return f"<{type(value).__name__} {sorted(canonical(v) for v in value)}>"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{canonical(k)}: {canonical(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(canonical(v) for v in value) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(canonical(v) for v in value) + ",)"
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value)
    return "<type>" if isinstance(value, type) else f"<{type(value).__name__}>"


def result(function, event):
    try:
        return {"value": canonical(function(event))}
    except Exception as error:  # pylint: disable=broad-except
        return {"raised": type(error).__name__, "message": str(error)}


def install():
    """Stand-ins for modules that are not of the standard library."""

    def parse(*_args, **_kwargs):
        raise NotImplementedError("dateutil is not here")

    class Stub(types.ModuleType):
        __path__ = []

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (Exception,), {})

    for name in (
        "dateutil", "dateutil.parser", "boto3", "botocore", "botocore.exceptions", "policyuniverse",
        "policyuniverse.policy", "policyuniverse.expander_minimizer", "policyuniverse.action_categories", "pycountry",
        "panther_detection_helpers", "panther_detection_helpers.caching",
    ):
        sys.modules[name] = Stub(name)
    sys.modules["dateutil.parser"].parse = parse
    sys.modules["dateutil"].parser = sys.modules["dateutil.parser"]


WORDS = ["", "a", "Alice", "ROOT", "10.0.0.1", "2001:db8::1", "192.168.1.0/24", "arn:aws:iam::123:user/x", "1.5",
         "42", " x ", "äÖß", "日本", "true", "{\"k\": [1, null]}", "aGVsbG8=", "2024-05-01T10:00:00Z", "a,b;c", "x\ny"]
SCALARS = [None, True, False, 0, 1, -7, 3.5, 1e20, 2**53, -0.0]


def scalar(rng):
    return rng.choice(WORDS) if rng.random() < 0.6 else rng.choice(SCALARS)


def tree(rng, depth=0):
    kind = rng.random()
    if depth > 2 or kind < 0.6:
        return scalar(rng)
    if kind < 0.8:
        return [tree(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice("abcdkK"): tree(rng, depth + 1) for _ in range(rng.randrange(4))}


def swap_case(text):
    return text.upper() if text.islower() else text.lower()


def mutate(rng, value, paths=None):
    """Change one to three places: drop, replace, wrap, another case, another character."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.randrange(1, 4)):
        places = []

        def visit(node):
            for key in list(node) if isinstance(node, dict) else range(len(node)):
                places.append((node, key))
                if isinstance(node[key], (dict, list)) and node[key]:
                    visit(node[key])

        visit(value)
        if not places:
            break
        node, key = rng.choice(places)
        old = node[key]
        kind = rng.randrange(8)
        if kind == 0:
            del node[key]
        elif kind == 1:
            node[key] = scalar(rng)
        elif kind == 2:
            node[key] = tree(rng)
        elif kind == 3:
            node[key] = [old]
        elif kind == 4:
            node[key] = {"k": old}
        elif kind == 5 and isinstance(node, dict):
            node[swap_case(key)] = node.pop(key)
        elif kind == 6 and isinstance(old, str):
            node[key] = swap_case(old)
        elif isinstance(old, str) and old:
            at = rng.randrange(len(old))
            node[key] = old[:at] + rng.choice("xX .:/") + old[at + 1:]
        else:
            node[key] = str(old)
    return value


BASE = {
    "s": "Alice", "empty": "", "n": 42, "neg": -7, "f": 2.5, "t": True, "z": False, "none": None,
    "list": ["a", "b", "a"], "nums": [3, 1, 2], "mixed": [1, "a", None, 2.5], "rows": [{"k": 1, "v": "x"}, {"k": 2}],
    "map": {"a": 1, "B": {"c": "deep"}, "l": [1, [2]]}, "ip": "10.0.0.1", "json": "{\"k\": [1, null]}",
    "text": "user alice logged in from 10.0.0.1 at 12:30", "csv": "a,b,,c", "uni": "äÖß ſ İ 日本", "Key": "upper", "key2": "x",
    "time": "2024-05-01T10:00:00Z", "num": "17", "b64": "aGVsbG8=", "p_event_time": "2024-05-01 10:00:00.500000000",
}


def events(seed, count):
    rng = random.Random(seed)
    yield BASE
    for _ in range(count):
        yield mutate(rng, BASE)


STDOUT, sys.stdout = sys.stdout, sys.stderr  # what a case prints is no result


def out(line):
    print(json.dumps(line), file=STDOUT)


def cases(folder, seed):
    install()
    functions = []
    for path in sorted(glob.glob(os.path.join(folder, "*.txt"))):
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip("\n")
                if line and not line.startswith("#"):
                    source = f"{PRELUDE}def case(e):\n    return {line}\n"
                    functions.append((f"{os.path.basename(path)}:{number}", source, "case"))
    for path in sorted(glob.glob(os.path.join(folder, "*.py"))):
        if os.path.basename(path) != "oracle.py":
            with open(path, encoding="utf-8") as file:
                source = file.read()
            names = [line[4:line.index("(")] for line in source.splitlines() if line.startswith("def case_")]
            functions.extend((f"{os.path.basename(path)}:{name}", source, name) for name in names)
    cast = list(events(seed, 12))
    for index, event in enumerate(cast):
        out({"event": index, "log": event})
    for name, source, function in functions:
        module = {}
        exec(source, module)  # pylint: disable=exec-used
        results = [result(module[function], PantherEvent(event)) for event in cast]
        out({"case": name, "source": source, "function": function, "results": results})


PRELUDE = """import base64, datetime, difflib, fnmatch, functools, ipaddress, json, math, re, shlex
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, unquote, urlparse
"""


def load(root, file, cache):
    if file not in cache:
        spec = importlib.util.spec_from_file_location("detection", os.path.join(root, file))
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # pylint: disable=broad-except
            print(file, repr(error))
            module = None
        cache[file] = module and (module, state(module))
    return cache[file]


def state(module):
    """What a detection may remember of an event: its plain globals."""
    kept = (type(None), bool, int, float, str, list, dict, set, tuple)
    return copy.deepcopy({k: v for k, v in vars(module).items() if type(v) in kept and not k.startswith("__")})


def fresh(loaded):
    """The module as it was after loading: every event starts from there."""
    module, initial = loaded
    vars(module).update(copy.deepcopy(initial))
    return module


def corpus(root, seed):
    """Events come from standard input as JSON lines: {"log", "log_type", "model", "turns", "detections"}."""
    install()
    sys.path[:0] = [os.path.join(root, "global_helpers")]
    rng = random.Random(seed)
    modules = {}
    for line in sys.stdin:
        job = json.loads(line)
        model = None
        if job.get("model"):
            methods = load(root, job["model"]["file"], modules) if job["model"]["file"] else None
            methods = methods and methods[0]
            model = DataModel({
                m["name"]: Path(m["path"]) if "path" in m else Method(m["method"], lambda module=methods: module)
                for m in job["model"]["mappings"]
            })
        for turn in range(job["turns"]):
            log = job["log"] if turn == 0 else mutate(rng, job["log"])
            results = {}
            for detection in job["detections"]:
                loaded = load(root, detection["file"], modules)
                if loaded is not None:
                    results[detection["id"]] = run(fresh(loaded), detection["functions"], log, model)
            out({"log": log, "log_type": job["log_type"], "results": results})


def run(module, functions, log, model):
    """Results of a detection: of the other functions only if it matches."""
    results = {}
    for name in functions:
        results[name] = result(getattr(module, name), PantherEvent(log, model))
        if name == "rule" and results[name] != {"value": "True"}:
            break
    return results


ATOMS = ["0", "1", "-3", "7", "2.5", "-0.5", "1e20", "True", "False", "None", "''", "'a'", "'Abc'", "' x y '", "'a,b,,c'",
         "'12'", "'äß日'", "'%s-%s'", "'{}:{}'", "b'ab'", "[]", "[1, 2, 3]", "['b', 'a']", "[1, 'a', None]", "()", "(1, 2)",
         "('a', 'b')", "{}", "{'a': 1, 'b': [2]}", "{1: 'x'}", "set()", "{1, 2}", "{'a'}", "frozenset([1])", "range(4)",
         "range(5, 0, -2)", "e.get('s')", "e.get('list')", "e.get('map')", "e.get('nums')", "e.get('none')", "e.get('rows')",
         "e.get('n')", "e", "ValueError('v')", "str", "int", "len", "(lambda x: x)"]
METHODS = ("lower upper strip split rsplit join replace find count index startswith endswith title capitalize zfill ljust center "
           "partition isdigit isalpha encode decode format get keys values items copy pop update setdefault append extend insert "
           "remove sort reverse add discard union intersection difference issubset deep_get deep_walk udm splitlines swapcase "
           "isspace islower isupper rjust lstrip rstrip rfind removeprefix hex symmetric_difference popitem clear").split()
CALLS = ("len str int float bool list tuple set dict sorted sum min max any all abs round repr reversed enumerate zip map filter "
         "isinstance range divmod ord chr hex iter next frozenset format getattr hasattr callable").split()
OPERATORS = "+ - * / // % & | ^ == != < <= > >= in and or **".split() + ["not in"]
SPECS = ["5", ">8", "^7", "05", ".2f", ",", "+d", "x", ".1%", "e", "g", "s", "<4", "_", "08.3f", ".3"]


def pattern(rng, depth=0):
    """A random regular expression."""
    out = ""
    for _ in range(rng.randrange(1, 4)):
        kind = rng.randrange(10)
        if kind < 5 or depth > 1:
            piece = rng.choice(["a", "b", "c", "1", " ", ".", "\\d", "\\w", "\\s", "[ab]", "[^a]", "[a-c1]", "\\W", "[\\w-]", "x", "\\.", "[^\\s]"])
        elif kind < 7:
            piece = f"({pattern(rng, depth + 1)})"
        elif kind == 7:
            piece = f"(?:{pattern(rng, depth + 1)}|{pattern(rng, depth + 1)})"
        elif kind == 8:
            piece = f"({pattern(rng, depth + 1)}|{pattern(rng, depth + 1)})"
        else:
            out += rng.choice(["^", "$", "\\b", "\\Z", ""])
            continue
        out += piece + rng.choice(["", "", "", "*", "+", "?", "{1,2}", "{2}", "{,2}", "*?", "+?", "??"])
    return out


TEXTS = ["", "a", "abc", "ab1 cb", "aabbcc 11", "a\nb", "ab\n", "ABC abc", "x.a-b_1", "äb ß1", "aaaa", "abab  ", "1a1b1c", "b\n\nb"]


def matching(rng):
    flags = rng.choice(["", "", ", flags=re.I", ", flags=re.M", ", flags=re.S", ", flags=re.I | re.M"])
    expression, text = repr(pattern(rng)), repr(rng.choice(TEXTS))
    return rng.choice([
        f"(lambda m: m and (m.group(), m.groups(), m.span()))(re.search({expression}, {text}{flags}))",
        f"(lambda m: m and (m.group(), m.groups(), m.span()))(re.match({expression}, {text}{flags}))",
        f"(lambda m: m and (m.group(), m.groups(), m.span()))(re.fullmatch({expression}, {text}{flags}))",
        f"re.findall({expression}, {text}{flags})",
        f"re.split({expression}, {text}{flags})",
        f"re.sub({expression}, '<\\\\g<0>>', {text}{flags})",
        f"[m.span() for m in re.finditer({expression}, {text}{flags})]",
    ])


def expression(rng, depth=0):
    if depth == 0 and rng.random() < 0.2:
        return matching(rng)
    kind = rng.randrange(12) if depth < 3 else 0
    sub = lambda: expression(rng, depth + 1)
    if kind <= 2:
        return rng.choice(ATOMS)
    if kind <= 4:
        left, operator, right = sub(), rng.choice(OPERATORS), sub()
        return f"({left} {operator} {right})" if operator != "**" else f"(len(str({left})) ** 2)"
    if kind <= 7:
        arguments = ", ".join(sub() for _ in range(rng.choice([0, 1, 1, 2])))
        return f"({sub()}).{rng.choice(METHODS)}({arguments})"
    if kind == 8:
        return f"{rng.choice(CALLS)}({', '.join(sub() for _ in range(rng.choice([1, 1, 1, 2, 3])))})"
    if kind == 9:
        index = rng.choice(["0", "-1", "1", "'a'", "1:", ":-1", "::2", "::-1", "5", "None", "'S'"])
        return f"({sub()})[{index}]"
    if kind == 10:
        return rng.choice(["[x for x in {}]", "[x for x in {} if x]", "{{x: 1 for x in {}}}", "list(x for x in {})",
                           "any(x for x in {})", "[*{}]", "{{**{}}}", "sorted({}, reverse=True)", "not {}", "-{}", "({},)"]).format(sub())
    form = rng.choice(["f'{@}'", "f'{@!r}'", "'%s' % (@,)", "'%r' % (@,)", "'{}'.format(@)", "f'{@:SPEC}'"])
    return form.replace("SPEC", rng.choice(SPECS)).replace("@", nested(sub()))


def nested(text):
    """An expression that can stand inside of quotes of an f-string."""
    return text if "'" not in text and "\\" not in text and "{" not in text else "e.get(\"n\")"


def fuzz(count, seed):
    install()
    rng = random.Random(seed)
    out({"event": 0, "log": BASE})
    for number in range(count):
        source = f"{PRELUDE}def case(e):\n    return {expression(rng)}\n"
        try:
            code = compile(source, "case", "exec")
        except SyntaxError:
            continue
        module = {}
        exec(code, module)  # pylint: disable=exec-used
        text = source.rsplit("return ", 1)[1].strip()
        out({"case": f"fuzz {seed}:{number} {text}", "source": source, "function": "case",
             "results": [result(module["case"], PantherEvent(BASE))]})


if __name__ == "__main__":
    if sys.argv[1] == "cases":
        cases(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "fuzz":
        fuzz(int(sys.argv[2]), int(sys.argv[3]))
    else:
        corpus(sys.argv[2], int(sys.argv[3]))
