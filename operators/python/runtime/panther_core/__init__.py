"""The event that a rule is called with, and its read-only maps and lists."""

from panther_core.enriched_event import PantherEvent
from panther_core.immutable import ImmutableCaseInsensitiveDict, ImmutableList

__all__ = ["PantherEvent", "ImmutableCaseInsensitiveDict", "ImmutableList"]
