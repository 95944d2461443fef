"""Exceptions of the event."""


class PantherError(Exception):
    """A detection asks for what is not there."""


class UnknownDestinationError(PantherError):
    """A destination that nobody has set up."""


class FunctionReturnTypeError(PantherError):
    """A function of a detection returned a value of another type."""
