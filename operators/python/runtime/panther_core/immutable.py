"""Read-only containers of an event.

Keys ignore case: an exact key is found first, then the first key in the order of the event that is equal but for case.
What is taken out of a container is wrapped when it is taken; the data itself is never copied.
"""

from collections.abc import Mapping, Sequence


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
    if isinstance(value, (ImmutableContainer)):
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
        return self.copy()

    def __deepcopy__(self, _memo):
        return self.copy()


class ImmutableList(ImmutableContainer, Sequence):
    """A list of the event: a Sequence, but no list; it equals a list or a tuple of the same elements."""

    __slots__ = ()

    def __init__(self, items=()):
        self._items = items._items if isinstance(items, ImmutableList) else items

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
            return list(self._items) == plain(other)
        return NotImplemented


class ImmutableCaseInsensitiveDict(ImmutableContainer, Mapping):
    """A map of the event: a Mapping, but no dict."""

    __slots__ = ("_folded",)

    def __init__(self, items=()):
        self._items = items._items if isinstance(items, ImmutableCaseInsensitiveDict) else items
        if not isinstance(self._items, dict):
            self._items = dict(self._items)
        self._folded = None

    def _key(self, key):
        if key in self._items:
            return key
        if isinstance(key, str):
            if self._folded is None:
                self._folded = {}
                for known in self._items:
                    if isinstance(known, str):
                        self._folded.setdefault(known.lower(), known)
            return self._folded.get(key.lower(), _MISSING)
        return _MISSING

    def __getitem__(self, key):
        found = self._key(key)
        if found is _MISSING:
            raise KeyError(key)
        return wrap(self._items[found])

    def get(self, key, default=None):
        """Value of a key, or the default if there is none; a value of None is returned as it is."""
        found = self._key(key)
        return default if found is _MISSING else wrap(self._items[found])

    def __contains__(self, key):
        return self._key(key) is not _MISSING

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


_MISSING = object()
