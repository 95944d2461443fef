"""A clock that stands still and random numbers that repeat: both are set for every call.

`datetime` is replaced by a subclass whose "now" is the engine's clock; every other behaviour, and what it prints, is that
of the class itself. Local time is UTC.
"""

import datetime
import os
import random
import time
import uuid

_DATETIME, _DATE = datetime.datetime, datetime.date
_GMTIME, _STRFTIME, _ASCTIME, _CTIME = time.gmtime, time.strftime, time.asctime, time.ctime


class _Time:
    micros = 0
    random = random.Random(0)


def set_call(micros, seed):
    """The clock, in microseconds since 1970, and the seed of a call."""
    _Time.micros = micros
    _Time.random.seed(seed)
    random.seed(seed)
    uuid._last_timestamp = None


def _nanoseconds():
    return _Time.micros * 1000


def _seconds():
    return _Time.micros / 1000000


def _urandom(size):
    return _Time.random.getrandbits(8 * size).to_bytes(size, "little") if size else b""


def _given(function):
    def at(seconds=None):
        return function(_seconds() if seconds is None else seconds)

    at.__name__ = function.__name__
    return at


class _AnyDate(type):
    """A value made by the library's own C code is of the class, too."""

    def __instancecheck__(cls, value):
        return isinstance(value, _REAL[cls]) if cls in _REAL else type.__instancecheck__(cls, value)

    def __subclasscheck__(cls, kind):
        return issubclass(kind, _REAL[cls]) if cls in _REAL else type.__subclasscheck__(cls, kind)


class _FixedDate(_DATE, metaclass=_AnyDate):
    @classmethod
    def today(cls):
        """The day of the engine's clock."""
        now = _DATETIME.fromtimestamp(0, datetime.timezone.utc) + datetime.timedelta(microseconds=_Time.micros)
        return cls(now.year, now.month, now.day)

    def __repr__(self):
        return "datetime." + super().__repr__()


class _FixedDatetime(_DATETIME, metaclass=_AnyDate):
    @classmethod
    def now(cls, tz=None):
        """The engine's clock."""
        now = cls(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(microseconds=_Time.micros)
        return now.replace(tzinfo=None) if tz is None else now.astimezone(tz)

    @classmethod
    def utcnow(cls):
        """The engine's clock, without a zone."""
        return cls.now()

    @classmethod
    def today(cls):
        """The engine's clock, without a zone."""
        return cls.now()

    def __repr__(self):
        return "datetime." + super().__repr__()


_REAL = {}


def install():
    """Replace the clocks and the sources of random numbers."""
    _REAL.update({_FixedDate: _DATE, _FixedDatetime: _DATETIME})
    for kind, name in ((_FixedDate, "date"), (_FixedDatetime, "datetime")):
        kind.__name__ = kind.__qualname__ = name
        kind.__module__ = "datetime"
        setattr(datetime, name, kind)
    time.time = time.monotonic = time.perf_counter = time.process_time = time.thread_time = _seconds
    time.time_ns = time.monotonic_ns = time.perf_counter_ns = time.process_time_ns = time.thread_time_ns = _nanoseconds
    time.gmtime = time.localtime = _given(_GMTIME)
    time.ctime = lambda seconds=None: _ASCTIME(time.gmtime(seconds))
    time.asctime = lambda parts=None: _ASCTIME(time.gmtime() if parts is None else parts)
    time.strftime = lambda form, parts=None: _STRFTIME(form, time.gmtime() if parts is None else parts)
    time.sleep = lambda _seconds: None
    os.urandom = _urandom
    random._urandom = _urandom
    random.SystemRandom.random = lambda _self: _Time.random.random()
    uuid._generate_time_safe = uuid._UuidCreate = None
    uuid._node = 0
