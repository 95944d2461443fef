"""What a function gave, as a message."""

import math
from collections.abc import Mapping

from panther_core.immutable import ImmutableCaseInsensitiveDict, ImmutableList

# Texts are cut by the engine, after fewer characters than these.
TEXT = 4096
# Deeper values have no JSON form: the reader of the engine takes 128 levels, with those around a value.
DEPTH = 100
# Bytes of one result.
SIZE = 1 << 20


class NoJson(Exception):
    """A part has no JSON form."""


class TooLarge(Exception):
    """A result is too large; how large it is at least."""


class Writer:
    """Turns values into what JSON can say: tuples and sets are lists, keys texts."""

    def __init__(self):
        self.size = 0

    def take(self, size):
        """Count bytes, as they will be at least."""
        self.size += size
        if self.size > SIZE:
            raise TooLarge()

    def key(self, key):
        """A key as a text."""
        if isinstance(key, str):
            return str(key)
        if key is None or isinstance(key, bool):
            return {None: "null", True: "true", False: "false"}[key]
        if isinstance(key, (int, float)):
            return repr(key)
        raise NoJson()

    def value(self, value, depth=0):
        """A value."""
        if value is None or value is True or value is False:
            self.take(4)
            return value
        if isinstance(value, str):
            self.take(len(value) + 2)
            return str(value)
        if isinstance(value, int):
            self.take(20)
            if not -(1 << 63) <= value < 1 << 64:
                if value.bit_length() > 1023:
                    raise NoJson()
                return float(value)
            return int(value)
        if isinstance(value, float):
            self.take(3)
            if not math.isfinite(value):
                raise NoJson()
            return float(value)
        if depth >= DEPTH:
            raise NoJson()
        self.take(2)
        if isinstance(value, Mapping):
            entries = {}
            for key, item in value.items():
                key = self.key(key)
                self.take(len(key) + 3)
                entries[key] = self.value(item, depth + 1)
            return entries
        if isinstance(value, (list, tuple, ImmutableList)):
            return [self.value(item, depth + 1) for item in value]
        if isinstance(value, (set, frozenset)):
            return [self.value(item, depth + 1) for item in sorted(value, key=canonical)]
        raise NoJson()


def canonical(value):
    """A text that says type and content, with sets in order: by it two evaluators are compared."""
    if isinstance(value, (ImmutableCaseInsensitiveDict, ImmutableList)):
        return f"<{type(value).__name__} {canonical(value.copy())}>"
    if isinstance(value, (set, frozenset)):
        return f"<{type(value).__name__} {sorted(canonical(item) for item in value)}>"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{canonical(key)}: {canonical(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(canonical(item) for item in value) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(canonical(item) for item in value) + ",)"
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value)
    return "<type>" if isinstance(value, type) else f"<{type(value).__name__}>"


def of_value(value, exact):
    """A result: its type, its JSON form if there is one, and on demand the exact text."""
    message = {"type": type(value).__name__}
    if isinstance(value, str) and len(value) > TEXT and not exact:
        value = value[:TEXT]
    try:
        message["json"] = Writer().value(value)
    except NoJson:
        pass
    except TooLarge:
        message["large"] = SIZE
    if exact:
        message["exact"] = canonical(value)[:SIZE]
    return message


def text(function, value):
    """Text of an exception, also if its own method fails."""
    try:
        return function(value)[:TEXT]
    except Exception:  # pylint: disable=broad-except
        return f"<{type(value).__name__}>"


def of_error(error):
    """An exception: type, text, and where it came up."""
    message = {"raised": type(error).__name__[:TEXT], "text": text(str, error), "repr": text(repr, error)}
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None:
        code = trace.tb_frame.f_code
        message["at"] = [code.co_filename[:TEXT], trace.tb_lineno, code.co_name[:TEXT]]
    return message
