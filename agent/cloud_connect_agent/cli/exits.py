"""Exit statuses of the commands, and which error means which."""

from enum import IntEnum

from cloud_connect.errors import (
    CloudConnectError,
    ConfigurationError,
    PolicyDeniedError,
    SignInRequiredError,
    TunnelError,
)

__all__ = ["ExitStatus", "NotEnrolledError", "exit_status_of"]


class ExitStatus(IntEnum):
    """What a command's exit status says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_ENROLLED = 3
    NOT_CONNECTED = 4
    SIGN_IN_NEEDED = 5
    REFUSED_BY_POLICY = 6
    BAD_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


class NotEnrolledError(CloudConnectError):
    """This PC belongs to no relay yet."""


def exit_status_of(error: CloudConnectError) -> ExitStatus:
    """Return the exit status that says what the error says."""
    match error:
        case ConfigurationError():
            return ExitStatus.BAD_CONFIGURATION
        case NotEnrolledError():
            return ExitStatus.NOT_ENROLLED
        case TunnelError():
            return ExitStatus.NOT_CONNECTED
        case SignInRequiredError():
            return ExitStatus.SIGN_IN_NEEDED
        case PolicyDeniedError():
            return ExitStatus.REFUSED_BY_POLICY
        case _:
            return ExitStatus.FAILED
