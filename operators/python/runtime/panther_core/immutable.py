"""Read-only containers of an event.

Keys ignore case: an exact key is found first, then the first key in the order of the event that is equal but for case. A
key that is no text has no case: looking for it raises AttributeError. What is taken out of a container is wrapped when it
is taken. A list of the event is a tuple inside: so it prints, so it is sliced, and so its errors say.
"""

from collections.abc import Mapping, Sequence


MISSING = object()


def wrap(value):
    """A value as a part of an event."""
    kind = type(value)
    if kind is dict:
        return ImmutableCaseInsensitiveDict(value)
    if kind is list:
        return ImmutableList(value)
    return value


def plain(value):
    """A copy that can be changed: dict and list all the way down."""
    if isinstance(value, ImmutableContainer):
        value = value._items
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


class ImmutableContainer:
    """What maps and lists of an event share."""

    __slots__ = ("_items",)
    __hash__ = None

    def __repr__(self):
        return f"{type(self).__name__}({self._items!r})"

    def copy(self):
        """A copy that can be changed."""
        return plain(self._items)

    def __copy__(self):
        return self

    def __deepcopy__(self, _memo):
        return self


class ImmutableList(ImmutableContainer, Sequence):
    """A list of the event: a Sequence, but no list; it equals a list or a tuple of the same elements."""

    __slots__ = ()

    def __init__(self, items=()):
        self._items = items._items if isinstance(items, ImmutableList) else tuple(items)

    def __getitem__(self, index):
        return wrap(self._items[index])

    def __iter__(self):
        return map(wrap, self._items)

    def __len__(self):
        return len(self._items)

    def __eq__(self, other):
        if isinstance(other, ImmutableList):
            other = other._items
        if isinstance(other, (list, tuple)):
            return list(self._items) == list(other)
        return NotImplemented


class ImmutableCaseInsensitiveDict(ImmutableContainer, Mapping):
    """A map of the event: a Mapping, but no dict."""

    __slots__ = ("_folded",)

    def __init__(self, items=()):
        self._items = items._items if isinstance(items, ImmutableCaseInsensitiveDict) else items
        if not isinstance(self._items, dict):
            self._items = dict(self._items)
        self._folded = None

    def _find(self, key):
        """Value of a key, as it is in the data."""
        value = self._items.get(key, MISSING)
        if value is not MISSING:
            return value
        folded = key.lower()
        if self._folded is None:
            self._folded = {}
            for known in self._items:
                if isinstance(known, str):
                    self._folded.setdefault(known.lower(), known)
        return self._items[self._folded[folded]] if folded in self._folded else MISSING

    def __getitem__(self, key):
        found = self._find(key)
        if found is MISSING:
            raise KeyError(key)
        return wrap(found)

    def get(self, key, default=None):
        """Value of a key, or the default if there is none; a value of None is returned as it is."""
        found = self._find(key)
        return default if found is MISSING else wrap(found)

    def __contains__(self, key):
        return self._find(key) is not MISSING

    def deep_get(self, *keys, default=None):
        """The value below one key after the other; the default if it is missing or None."""
        value = self
        for key in keys:
            value = value.get(key, default) if isinstance(value, Mapping) else default
        return default if value is None else value

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)

    def __eq__(self, other):
        if isinstance(other, Mapping):
            return plain(self) == plain(dict(other.items()))
        return NotImplemented

    def to_dict(self):
        """A copy that can be changed."""
        return self.copy()
