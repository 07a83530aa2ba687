"""Which error means which exit status."""

from cloud_connect.command_line import ExitStatus
from cloud_connect.errors import (
    CloudConnectError,
    ConfigurationError,
    PolicyDeniedError,
    SignInRequiredError,
    TunnelError,
)
from cloud_connect_agent.control import AgentNotRunningError

__all__ = ["NotEnrolledError", "exit_status_of"]


class NotEnrolledError(CloudConnectError):
    """This PC belongs to no relay yet."""


def exit_status_of(error: CloudConnectError) -> ExitStatus:
    """Return the exit status that says what the error says."""
    match error:
        case ConfigurationError():
            return ExitStatus.BAD_CONFIGURATION
        case NotEnrolledError():
            return ExitStatus.NOT_ENROLLED
        case TunnelError() | AgentNotRunningError():
            return ExitStatus.NOT_CONNECTED
        case SignInRequiredError():
            return ExitStatus.SIGN_IN_NEEDED
        case PolicyDeniedError():
            return ExitStatus.REFUSED_BY_POLICY
        case _:
            return ExitStatus.FAILED
