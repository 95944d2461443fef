"""The key-value cache: counters, sets of strings and dictionaries by key, each with a time at which it expires.

The engine keeps the entries; what a call writes counts only if the call ends. "Now" is the engine's clock.
"""

import json
import time

from worker import channel

DEFAULT_SECONDS = 90 * 86400
# A smaller number of seconds is a span from now, a greater one a time.
LEAST_TIME = 604801


def _now():
    return int(time.time())


def _expiry(seconds):
    if seconds is None:
        return _now() + DEFAULT_SECONDS
    seconds = int(seconds)
    return _now() + seconds if seconds < LEAST_TIME else seconds


def _read(key):
    return channel.cache("get", str(key)) or {}


def _write(key, entry):
    channel.cache("put", str(key), entry)


def _expired(entry):
    return "expiresAt" in entry and entry["expiresAt"] <= _now()


def _value(key, field, nothing, force_ttl_check):
    entry = _read(key)
    if force_ttl_check and _expired(entry):
        return nothing
    return entry.get(field, nothing)


def _change(key, field, value, seconds, keep):
    entry = _read(key)
    if _expired(entry):
        entry = {}
    if not keep or seconds is not None or "expiresAt" not in entry:
        entry["expiresAt"] = _expiry(seconds)
    entry[field] = value
    _write(key, entry)


def set_key_expiration(key, epoch_seconds):
    """Set when a key expires: a time, or a span from now."""
    entry = _read(key)
    entry["expiresAt"] = _expiry(epoch_seconds)
    _write(key, entry)


def get_counter(key, force_ttl_check=False):
    """The counter of a key; 0 without one."""
    return _value(key, "intCount", 0, force_ttl_check)


def increment_counter(key, val=1, epoch_seconds=None):
    """Add to a counter and return it. An expired one starts anew."""
    entry = _read(key)
    count = (0 if _expired(entry) else entry.get("intCount", 0)) + int(val)
    _change(key, "intCount", count, epoch_seconds, True)
    return count


def reset_counter(key):
    """Set a counter to 0."""
    _change(key, "intCount", 0, None, True)


def evaluate_threshold(key, threshold=10, expiry_seconds=3600):
    """Count one; true, and the counter starts anew, if it has reached the threshold."""
    count = increment_counter(key)
    if count == 1:
        set_key_expiration(key, _now() + int(expiry_seconds))
    if count >= threshold:
        reset_counter(key)
        return True
    return False


def _strings(val):
    if isinstance(val, str):
        return {val}
    strings = set(val)
    if not all(isinstance(item, str) for item in strings):
        raise TypeError("a set in the cache holds strings only")
    return strings


def get_string_set(key, force_ttl_check=False):
    """The set of strings of a key; an empty one without it."""
    return set(_value(key, "stringSet", (), force_ttl_check))


def put_string_set(key, val, epoch_seconds=None):
    """Replace a set of strings. An empty one removes it."""
    if not val:
        reset_string_set(key)
    else:
        _change(key, "stringSet", sorted(_strings(val)), epoch_seconds, False)


def add_to_string_set(key, val, epoch_seconds=None):
    """Add a string or several, and return the set."""
    entry = _read(key)
    strings = (set() if _expired(entry) else set(entry.get("stringSet", ()))) | _strings(val)
    if strings:
        _change(key, "stringSet", sorted(strings), epoch_seconds, True)
    return strings


def remove_from_string_set(key, val, epoch_seconds=None):
    """Remove a string or several, and return the set."""
    strings = get_string_set(key) - _strings(val)
    _change(key, "stringSet", sorted(strings), epoch_seconds, True)
    return strings


def reset_string_set(key):
    """Make a set empty."""
    _change(key, "stringSet", [], None, True)


def get_dictionary(key, force_ttl_check=False):
    """The dictionary of a key; an empty one without it."""
    text = _value(key, "dictionary", None, force_ttl_check)
    return {} if text is None else json.loads(text)


def put_dictionary(key, val, epoch_seconds=None):
    """Replace a dictionary. An empty one removes it."""
    if not isinstance(val, dict) and not hasattr(val, "to_dict"):
        raise TypeError("put_dictionary: the value is not a dictionary")
    text = json.dumps(val.to_dict() if hasattr(val, "to_dict") else val)
    _change(key, "dictionary", text, epoch_seconds, False)


def check_account_age(key):
    """True if a rule that saw the account being made has left a set of strings under the key."""
    return isinstance(key, str) and key != "" and bool(get_string_set(key))
