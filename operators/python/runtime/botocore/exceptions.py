"""Exceptions of the AWS library that detections catch."""


class BotoCoreError(Exception):
    """Base of the exceptions."""


class NoCredentialsError(BotoCoreError):
    """There are no credentials."""

    def __init__(self, **_kwargs):
        super().__init__("Unable to locate credentials")


class NoRegionError(BotoCoreError):
    """There is no region."""


class EndpointConnectionError(BotoCoreError):
    """There is no network."""


class ClientError(Exception):
    """A request was refused."""

    def __init__(self, error_response, operation_name):
        self.response = error_response
        self.operation_name = operation_name
        error = error_response.get("Error", {})
        super().__init__(f"{error.get('Code', 'Unknown')}: {error.get('Message', 'Unknown')} ({operation_name})")
