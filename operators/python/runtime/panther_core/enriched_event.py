"""The event."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from panther_core.immutable import ImmutableCaseInsensitiveDict, plain


def _is_list(value):
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _is_empty(value):
    """A list with nothing in it but such lists."""
    return _is_list(value) and all(_is_empty(item) for item in value)


def _walk(value, keys, default, which):
    if not keys:
        return default if _is_empty(value) else value
    if isinstance(value, Mapping):
        below = value.get(keys[0])
        return default if below is None else _walk(below, keys[1:], default, which)
    hits = {}
    if _is_list(value):
        for item in value:
            found = _walk(item, keys, default, which)
            if found is not None:
                hits.update(dict.fromkeys(found if _is_list(found) else [found]))
    hits = list(hits)
    if not hits:
        return default
    if which == "first":
        return hits[0]
    if which == "last":
        return hits[-1]
    if which == "all":
        return hits[0] if len(hits) == 1 else hits
    return "all"


class PantherEvent(ImmutableCaseInsensitiveDict):
    """An event, with the data model of its log type."""

    __slots__ = ("data_model",)

    def __init__(self, event=(), data_model=None):
        super().__init__(event)
        self.data_model = data_model

    def deep_get(self, *keys, default=None):
        """The value below one key after the other; the default if it is missing or None."""
        value = self
        for key in keys:
            value = value.get(key, default) if isinstance(value, Mapping) else default
        return default if value is None else value

    def deep_walk(self, *keys, default=None, return_val="all"):
        """As deep_get, but lists on the way are walked through: every value once, one value without a list."""
        return _walk(plain(self._items), keys, default, return_val)

    def lookup(self, table, key):
        """The row of a lookup table. Outside of tests rows come with the event, in p_enrichment."""
        mocked = self._items.get("_mocked_lookup_data_")
        if isinstance(mocked, dict) and isinstance(mocked.get(table), dict):
            return mocked[table].get(key)
        return None

    def udm(self, *keys, default=None):
        """A field by its name in the data model, else in p_udm, else in the event; there a falsy value counts as missing."""
        if len(keys) == 1 and self.data_model is not None:
            mapping = self.data_model.find(keys[0])
            if mapping is not None:
                value = mapping(self)
                return default if value is None else value
        for path in (("p_udm",) + keys, keys):
            value = self.deep_get(*path)
            if value:
                return value
        return default

    def udm_path(self, key):
        """The path, or the name of the method, by which the data model finds a field."""
        mapping = self.data_model.find(key) if self.data_model is not None else None
        return None if mapping is None else mapping.name

    def event_time_epoch(self):
        """Seconds since 1970 of p_event_time, which is UTC; 0 without one."""
        text = self.get("p_event_time")
        if not isinstance(text, str):
            return 0
        text = text.strip().replace("T", " ", 1)
        text = text[:-1] if text.endswith("Z") else text
        whole, _, fraction = text.partition(".")
        for form in ("%Y-%m-%d %H:%M:%S%z", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
            try:
                time = datetime.strptime(whole + fraction.lstrip("0123456789"), form)
            except ValueError:
                continue
            time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
            return int(time.timestamp())
        raise ValueError(f"time data {text!r} is not a time")
