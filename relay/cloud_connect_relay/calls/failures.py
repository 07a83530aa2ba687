"""The failures of calls that ended before, as the errors that this end raises."""

from cloud_connect.errors import (
    CloudConnectError,
    ErrorCode,
    Outcome,
    OutcomeUnknownError,
    SourceRejectedError,
)
from cloud_connect.problems import error_class
from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["restored"]


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
        error = error_class(record.code or "")(message)
    error.outcome = record.outcome or Outcome.UNKNOWN
    error.call_id = record.id
    error.connector_id = record.connector_id
    return error
