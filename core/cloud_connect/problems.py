"""Problems as other ends report them, as the errors that this end raises."""

from typing import Final

from cloud_connect.errors import (
    AgentOfflineError,
    BodyTooLargeError,
    CloudConnectError,
    ConnectorDrainingError,
    ConnectorPausedError,
    DataSourceIncompleteError,
    DeadlineExceededError,
    ErrorCode,
    IdempotencyConflictError,
    IdempotencyMismatchError,
    InternalError,
    InvalidRequestError,
    JournalUnavailableError,
    NotFoundError,
    OutcomeUnknownError,
    PolicyDeniedError,
    QuotaExceededError,
    RateLimitedError,
    SignInRequiredError,
    SourceRejectedError,
    SourceUnavailableError,
    UnsupportedOperationError,
)
from cloud_connect.tunnel import Problem

__all__ = ["error_class", "error_of"]

_CLASSES: Final[dict[str, type[CloudConnectError]]] = {
    error.code.value: error
    for error in (
        AgentOfflineError,
        BodyTooLargeError,
        ConnectorDrainingError,
        ConnectorPausedError,
        DataSourceIncompleteError,
        DeadlineExceededError,
        IdempotencyConflictError,
        IdempotencyMismatchError,
        InternalError,
        InvalidRequestError,
        JournalUnavailableError,
        NotFoundError,
        PolicyDeniedError,
        QuotaExceededError,
        RateLimitedError,
        SignInRequiredError,
        SourceUnavailableError,
        UnsupportedOperationError,
    )
}


def error_class(code: str) -> type[CloudConnectError]:
    """Return the class of a code; an unknown one is an internal error."""
    return _CLASSES.get(code, InternalError)


def error_of(problem: Problem, *, call_id: str) -> CloudConnectError:
    """Return what *problem* means here.

    An agent is another company's machine: a code that is not known becomes an internal error,
    and only Procore's own 4xx travels on as a status.
    """
    error: CloudConnectError
    if problem.code == ErrorCode.SOURCE_REJECTED and 400 <= problem.status < 500:
        error = SourceRejectedError(problem.detail, status=problem.status, body=problem.source)
    elif problem.code == ErrorCode.OUTCOME_UNKNOWN:
        error = OutcomeUnknownError(problem.detail)
    else:
        error = error_class(problem.code)(problem.detail, retry_after=problem.retry_after)
    error.body = problem.source
    error.outcome = problem.outcome
    error.call_id = call_id
    return error
