"""The event."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from panther_core.exceptions import PantherError
from panther_core.immutable import MISSING, ImmutableCaseInsensitiveDict, plain, wrap


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

    def deep_walk(self, *keys, default=None, return_val="all"):
        """As deep_get, but lists on the way are walked through: every value once, one value without a list."""
        return _walk(plain(self._items), keys, default, return_val)

    def lookup(self, lookup_name, lookup_key):
        """The row of a lookup table. Outside of tests rows come with the event, in p_enrichment."""
        mocked = self._items.get("_mocked_lookup_data_")
        if isinstance(mocked, dict) and isinstance(mocked.get(lookup_name), dict):
            return wrap(mocked[lookup_name].get(lookup_key))
        return None

    def udm(self, *keys, default=None):
        """A field by its name in the data model, else in p_udm, else in the event.

        The default stands for a path that leads nowhere, and outside of the model for every falsy value.
        """
        if len(keys) == 1 and self.data_model is not None:
            mapping = self.data_model.find(keys[0])
            if mapping is not None:
                value = mapping(self)
                return default if value is MISSING else value
        if keys:
            for path in (("p_udm",) + keys, keys):
                value = self.deep_get(*path)
                if value:
                    return value
        return default

    def udm_path(self, key):
        """The path to the field that the data model finds, or the name of its method; None if it finds none."""
        if self.data_model is None:
            log_type = self.get("p_log_type")
            raise PantherError(f"there is no data model for the log type: {log_type}")
        mapping = self.data_model.find(key)
        return None if mapping is None else mapping.place(self)

    def event_time_epoch(self):
        """Seconds since 1970 of p_event_time (2024-05-01 10:00:00.000000000, UTC); 0 without one."""
        text = self.get("p_event_time")
        if text is None:
            return 0
        whole, _, fraction = (text + "").partition(".")
        try:
            time = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
        except ValueError:
            return 0
        return int(time.timestamp()) if not fraction or fraction.isdigit() else 0
