"""Data models: names of fields that log types have in common."""

from panther_core.immutable import MISSING, wrap


def parts(path):
    """The steps of a path: `$.a.b`, `a['odd key']`, `a[0].b`, `a[*]` (every element)."""
    steps, at = [], 0
    path = path[1:] if path.startswith("$") else path
    while at < len(path):
        if path[at] == ".":
            at += 1
        elif path[at] == "[":
            end = path.index("]", at)
            inside = path[at + 1 : end]
            if inside[:1] in ("'", '"', "`") and inside[:1]:
                end = path.index(inside[0] + "]", at + 2) + 1
                steps.append(path[at + 2 : end - 1])
            else:
                steps.append(None if inside == "*" else int(inside))
            at = end + 1
        elif path[at] in "'\"`":
            end = path.index(path[at], at + 1)
            steps.append(path[at + 1 : end])
            at = end + 1
        else:
            end = at
            while end < len(path) and path[end] not in ".[":
                end += 1
            steps.append(None if path[at:end] == "*" else path[at:end])
            at = end
    return steps


class Path:
    """A field by its path, on the event as it is: keys are exact."""

    def __init__(self, path):
        self.path = path
        self.steps = parts(path)

    def _find(self, event):
        """Where the field is, and its value; None if there is none."""
        hits = [((), event._items)]
        for step in self.steps:
            below = []
            for place, value in hits:
                if step is None and isinstance(value, dict):
                    below.extend((place + (key,), item) for key, item in value.items())
                elif isinstance(value, list) and (step is None or isinstance(step, int)):
                    every = range(len(value)) if step is None else range(len(value))[step : step + 1]
                    below.extend((place + (f"[{number}]",), value[number]) for number in every)
                elif isinstance(value, dict) and step in value:
                    below.append((place + (step,), value[step]))
            hits = below
        if len(hits) > 1:
            raise Exception(f"the path {self.path} of the data model finds {len(hits)} values, it must find one")
        return hits[0] if hits else None

    def __call__(self, event):
        hit = self._find(event)
        return MISSING if hit is None else wrap(hit[1])

    def place(self, event):
        """The path that was found, or None."""
        hit = self._find(event)
        return None if hit is None else ".".join(map(str, hit[0]))


class Method:
    """A field by a function of the model's module."""

    def __init__(self, name, module):
        self.name = name
        self.module = module

    def __call__(self, event):
        return wrap(getattr(self.module(), self.name)(event))

    def place(self, _event):
        """The name of the function."""
        return self.name


class DataModel:
    """A data model: name of a field to a mapping."""

    def __init__(self, mappings):
        self.mappings = mappings

    def find(self, name):
        """The mapping of a name, or None."""
        return self.mappings.get(name) if isinstance(name, str) else None
