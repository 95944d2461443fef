"""Stand-in for the AWS library, so that helpers which import it can be loaded: there are no credentials and no network."""

from botocore.exceptions import NoCredentialsError


class _Nothing:
    """A resource or a client that can be named; every operation fails."""

    def __init__(self, *_args, **_kwargs):
        self.__name__ = "boto3"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def operation(*_args, **_kwargs):
            if name[:1].isupper():
                return _Nothing()
            raise NoCredentialsError()

        return operation


def resource(*_args, **_kwargs):
    """A resource without credentials."""
    return _Nothing()


def client(*_args, **_kwargs):
    """A client without credentials."""
    return _Nothing()


Session = _Nothing
