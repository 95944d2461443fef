"""What modules remember: of one event only.

A detection may keep something of `rule()` for `title()`. The next event starts from what loading left, or its result would
depend on what came before it. Containers are put back in place, so that every name of one container sees the same.
"""

import ast
import copy
from collections import Counter, OrderedDict, defaultdict, deque
from operator import is_

KEPT = (dict, list, set, bytearray, deque, defaultdict, OrderedDict, Counter)
MISSING = object()


def assigned(text):
    """Globals that functions assign."""
    return sorted({name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Global) for name in node.names})


class Kept:
    """A module as loading left it."""

    def __init__(self, module, text):
        self.live = vars(module)
        self.assigned = assigned(text)
        self.take()

    def take(self):
        """What is there now is what loading left."""
        self.names = dict(self.live)
        self.containers = []
        for name, value in self.names.items():
            if type(value) in KEPT and not name.startswith("__"):
                try:
                    self.containers.append((value, copy.deepcopy(value)))
                except Exception:  # pylint: disable=broad-except
                    continue  # what cannot be copied cannot be put back

    def same_names(self):
        """Is every name what it was?"""
        return self.live.keys() == self.names.keys() and all(map(is_, self.live.values(), self.names.values()))

    def renew(self):
        """After a detection was loaded: what it changed stays."""
        if not self.same_names() or any(changed(value, copied) for value, copied in self.containers):
            self.take()

    def restore(self):
        """Put names and containers back."""
        for name in self.assigned:
            value = self.names.get(name, MISSING)
            if value is MISSING:
                self.live.pop(name, None)
            elif self.live.get(name, MISSING) is not value:
                self.live[name] = value
        if not self.same_names():
            self.live.clear()
            self.live.update(self.names)
        for value, copied in self.containers:
            if changed(value, copied):
                fresh = copy.deepcopy(copied)
                value.clear()
                (value.extend if isinstance(value, (list, deque, bytearray)) else value.update)(fresh)


def changed(value, copied):
    """Is a container another one, or in another order?"""
    return value != copied or (isinstance(value, dict) and list(value) != list(copied))
