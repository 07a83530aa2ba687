"""Failures that the relay tells of, as the errors that callers catch."""

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, ValidationError

from cloud_connect.errors import (
    CloudConnectError,
    ErrorCode,
    IdempotencyKeyRequiredError,
    InsufficientScopeError,
    InternalError,
    Outcome,
    OutcomeUnknownError,
    SourceRejectedError,
    UnauthorizedError,
)
from cloud_connect.problems import error_class

__all__ = ["RelayUnreachableError", "failure_of"]

_STATUSES: Final[dict[int, type[CloudConnectError]]] = {401: UnauthorizedError}
_SAID: Final = {401: "The relay does not accept the API key: it is wrong, expired or revoked."}
_OWN: Final[dict[str, type[CloudConnectError]]] = {
    kind.code.value: kind
    for kind in (UnauthorizedError, InsufficientScopeError, IdempotencyKeyRequiredError)
}


class RelayUnreachableError(CloudConnectError):
    """The relay could not be reached, or the connection broke before its answer was here."""

    status = 503
    retryable = True


def _outcome(value: object) -> object:
    return value if value is None or value in set(Outcome) else Outcome.UNKNOWN


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore")

    code: str = ""
    detail: str = ""
    outcome: Annotated[Outcome | None, BeforeValidator(_outcome)] = None
    call_id: str | None = None
    connector: str | None = None
    source: JsonValue = None


def failure_of(
    body: bytes | JsonValue, *, status: int, retry_after: str | None = None, message: str = ""
) -> CloudConnectError:
    """Return the error that a problem document tells of, or a status without one.

    Args:
        body: The document, decoded or as it came.
        retry_after: The header's value.
        message: What is said where the document says nothing.
    """
    try:
        if isinstance(body, bytes):
            document = _Document.model_validate_json(body)
        else:
            document = _Document.model_validate(body)
    except ValidationError:
        document = _Document()
    said = document.detail or message or _SAID.get(status) or f"The relay answered {status}."
    error: CloudConnectError
    if document.code == ErrorCode.SOURCE_REJECTED:
        error = SourceRejectedError(said, status=status, body=document.source)
    elif document.code == ErrorCode.OUTCOME_UNKNOWN:
        error = OutcomeUnknownError(said)
    elif not document.code:
        error = _STATUSES.get(status, InternalError)(said)
    else:
        error = _OWN.get(document.code, error_class(document.code))(said)
    error.status = status
    error.outcome = document.outcome or (  # what says none is not from where calls are run
        Outcome.NOT_EXECUTED if 400 <= status < 500 else Outcome.UNKNOWN
    )
    error.call_id = document.call_id
    error.connector_id = document.connector
    error.body = document.source
    if retry_after is not None and retry_after.isdecimal():
        error.retry_after = float(retry_after)
    return error
