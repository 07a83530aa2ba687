"""The tree of errors: each class says what a caller can do about it."""

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AgentOfflineError",
    "BodyTooLargeError",
    "CloudConnectError",
    "ConfigurationError",
    "ConnectorDrainingError",
    "ConnectorPausedError",
    "CredentialError",
    "DataSourceIncompleteError",
    "DeadlineExceededError",
    "ErrorCode",
    "FlowControlError",
    "IdempotencyConflictError",
    "IdempotencyKeyRequiredError",
    "IdempotencyMismatchError",
    "InsufficientScopeError",
    "InternalError",
    "InvalidRequestError",
    "JournalUnavailableError",
    "LocalProtocolError",
    "NotFoundError",
    "Outcome",
    "OutcomeUnknownError",
    "PolicyDeniedError",
    "QuotaExceededError",
    "RateLimitedError",
    "RemoteProtocolError",
    "SignInRequiredError",
    "SourceError",
    "SourceRejectedError",
    "SourceUnavailableError",
    "StreamResetError",
    "TunnelClosedError",
    "TunnelError",
    "UnauthorizedError",
    "UnsupportedOperationError",
    "VaultLockedError",
]


class Outcome(StrEnum):
    """What is certain about a call's effect at the source."""

    COMPLETED = "completed"
    NOT_EXECUTED = "not_executed"
    UNKNOWN = "unknown"


class ErrorCode(StrEnum):
    """The stable codes of failures, as callers read them in problem documents."""

    CONNECTOR_DRAINING = "connector_draining"
    CONNECTOR_OFFLINE = "connector_offline"
    CONNECTOR_PAUSED = "connector_paused"
    DATA_SOURCE_INCOMPLETE = "data_source_incomplete"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    IDEMPOTENCY_KEY_REQUIRED = "idempotency_key_required"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    INTERNAL_ERROR = "internal_error"
    INVALID_REQUEST = "invalid_request"
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    NOT_FOUND = "not_found"
    OUTCOME_UNKNOWN = "outcome_unknown"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    POLICY_DENIED = "policy_denied"
    QUOTA_EXCEEDED = "quota_exceeded"
    RATE_LIMITED = "rate_limited"
    SIGN_IN_REQUIRED = "sign_in_required"
    SOURCE_REJECTED = "source_rejected"
    SOURCE_UNAVAILABLE = "source_unavailable"
    UNAUTHORIZED = "unauthorized"
    UNSUPPORTED_OPERATION = "unsupported_operation"


class CloudConnectError(Exception):
    """Root of all errors of this product; the message is a sentence for people.

    Attributes:
        code: Stable code for programs.
        status: HTTP status that says the same.
        retryable: Whether repeating the call unchanged may succeed.
        outcome: What is certain about the call's effect at the source.
        retry_after: Seconds to wait before a repeat, where known.
        call_id: The call that failed, once it has one.
        connector_id: The connector that it went to, if it went to one.
        hops: Milliseconds that the call spent at each hop, where known.
        replayed: Whether this is the stored answer to an earlier request.
        body: The source's answer, where that is the reason: decoded JSON, or text of at most
            4 kB.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_ERROR
    status: int = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        outcome: Outcome = Outcome.NOT_EXECUTED,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message: Final = message
        self.outcome: Outcome = outcome
        self.retry_after: float | None = retry_after
        self.call_id: str | None = None
        self.connector_id: str | None = None
        self.hops: Mapping[str, float] = {}
        self.replayed: bool = False
        self.body: object = None

    @property
    def retry_safe(self) -> bool:
        """Whether a repeat can do no harm, since this attempt certainly had no effect."""
        return self.outcome is Outcome.NOT_EXECUTED


class ConfigurationError(CloudConnectError):
    """A setting is missing or wrong; the message names it. Commands exit with 78."""


class InternalError(CloudConnectError):
    """A fault of ours; the details are in the log only."""


class TunnelError(CloudConnectError):
    """Something went wrong between agent and relay."""


class LocalProtocolError(TunnelError):
    """This side broke the tunnel protocol: a bug that ends the session."""


class RemoteProtocolError(TunnelError):
    """The peer broke the tunnel protocol: the link is closed with 1002."""


class FlowControlError(RemoteProtocolError):
    """The peer sent more than its window allowed."""


class StreamResetError(TunnelError):
    """One stream ended early; the session goes on.

    Attributes:
        reason: The reset code of the wire (see ``tunnel.frames.ResetCode``).
    """

    def __init__(self, message: str, *, reason: int) -> None:
        super().__init__(message, outcome=Outcome.UNKNOWN)
        self.reason: Final = reason


class TunnelClosedError(TunnelError):
    """The session is drained or lost; an agent reconnects."""


class AgentOfflineError(CloudConnectError):
    """No connector of the data source is connected."""

    code = ErrorCode.CONNECTOR_OFFLINE
    status = 503
    retryable = True


class ConnectorDrainingError(CloudConnectError):
    """The connector finishes its calls and takes no new ones."""

    code = ErrorCode.CONNECTOR_DRAINING
    status = 503
    retryable = True


class ConnectorPausedError(CloudConnectError):
    """The connector's administrator paused it."""

    code = ErrorCode.CONNECTOR_PAUSED
    status = 503
    retryable = True


class JournalUnavailableError(CloudConnectError):
    """The connector's journal cannot be written, so it takes no writes; reads go on."""

    code = ErrorCode.JOURNAL_UNAVAILABLE
    status = 503
    retryable = True


class DeadlineExceededError(CloudConnectError):
    """The call was dispatched and its deadline passed."""

    code = ErrorCode.DEADLINE_EXCEEDED
    status = 504
    retryable = True


class PolicyDeniedError(CloudConnectError):
    """The policy on the connector's PC does not allow the call."""

    code = ErrorCode.POLICY_DENIED
    status = 403


class BodyTooLargeError(CloudConnectError):
    """A body is over its limit; the message names the limit."""

    code = ErrorCode.PAYLOAD_TOO_LARGE
    status = 413


class InvalidRequestError(CloudConnectError):
    """The request is malformed; the message names what is wrong with it."""

    code = ErrorCode.INVALID_REQUEST
    status = 400


class UnsupportedOperationError(CloudConnectError):
    """The resource lacks this verb at the source."""

    code = ErrorCode.UNSUPPORTED_OPERATION
    status = 405


class NotFoundError(CloudConnectError):
    """No such thing, or it belongs to somebody else: the answer is the same."""

    code = ErrorCode.NOT_FOUND
    status = 404


class UnauthorizedError(CloudConnectError):
    """No valid credential came with the request."""

    code = ErrorCode.UNAUTHORIZED
    status = 401


class InsufficientScopeError(CloudConnectError):
    """The credential is valid, but its scopes do not cover the request."""

    code = ErrorCode.INSUFFICIENT_SCOPE
    status = 403


class DataSourceIncompleteError(CloudConnectError):
    """The data source's details are not filled in completely."""

    code = ErrorCode.DATA_SOURCE_INCOMPLETE
    status = 409


class QuotaExceededError(CloudConnectError):
    """The subscription or key has too many calls running."""

    code = ErrorCode.QUOTA_EXCEEDED
    status = 429
    retryable = True


class IdempotencyKeyRequiredError(CloudConnectError):
    """A write came without an ``Idempotency-Key``."""

    code = ErrorCode.IDEMPOTENCY_KEY_REQUIRED
    status = 400


class IdempotencyConflictError(CloudConnectError):
    """A call with the same key is still running."""

    code = ErrorCode.IDEMPOTENCY_CONFLICT
    status = 409
    retryable = True


class IdempotencyMismatchError(CloudConnectError):
    """The key was used before for another request."""

    code = ErrorCode.IDEMPOTENCY_MISMATCH
    status = 422


class OutcomeUnknownError(CloudConnectError):
    """The call may or may not have had its effect; look it up before a repeat."""

    code = ErrorCode.OUTCOME_UNKNOWN
    status = 502

    def __init__(self, message: str) -> None:
        super().__init__(message, outcome=Outcome.UNKNOWN)


class CredentialError(CloudConnectError):
    """The agent lacks a usable credential for the source."""

    code = ErrorCode.SIGN_IN_REQUIRED
    status = 409


class SignInRequiredError(CredentialError):
    """Somebody has to sign in to Procore on the connector's PC."""


class VaultLockedError(CredentialError):
    """The vault cannot be opened by this account."""


class SourceError(CloudConnectError):
    """Procore did not do what was asked."""


class SourceRejectedError(SourceError):
    """Procore answered with a 4xx: its reasons stand in the message and the body.

    Attributes:
        status: Procore's own status.
    """

    code = ErrorCode.SOURCE_REJECTED

    def __init__(self, message: str, *, status: int, body: object = None) -> None:
        super().__init__(message, outcome=Outcome.COMPLETED)
        self.status = status
        self.body = body


class SourceUnavailableError(SourceError):
    """Procore could not be reached or failed itself (5xx, no answer)."""

    code = ErrorCode.SOURCE_UNAVAILABLE
    status = 502
    retryable = True


class RateLimitedError(SourceError):
    """Procore's rate limit is used up; ``retry_after`` says when it is not."""

    code = ErrorCode.RATE_LIMITED
    status = 429
    retryable = True
