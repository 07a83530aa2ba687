"""Agents' problems, as the errors that this end raises."""

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
    Outcome,
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
from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["error_of", "restored"]

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
        error = _CLASSES.get(problem.code, InternalError)(
            problem.detail, retry_after=problem.retry_after
        )
    error.body = problem.source
    error.outcome = problem.outcome
    error.call_id = call_id
    return error


def restored(record: CallRecord) -> CloudConnectError:
    """Return the failure that *record* tells of; Procore's own words are with the agent only."""
    message = record.detail or "The call failed."
    error: CloudConnectError
    if record.code == ErrorCode.SOURCE_REJECTED:
        error = SourceRejectedError(message, status=record.status or 400)
    elif record.code == ErrorCode.OUTCOME_UNKNOWN or (
        record.code is None and record.outcome is Outcome.UNKNOWN
    ):
        error = OutcomeUnknownError(message)
    else:
        error = _CLASSES.get(record.code or "", InternalError)(message)
    error.outcome = record.outcome or Outcome.UNKNOWN
    error.call_id = record.id
    error.connector_id = record.connector_id
    return error
