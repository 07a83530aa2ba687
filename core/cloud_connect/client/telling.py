"""What the relay's answers tell, in the shapes of the API and of the platform."""

from contextlib import suppress

from pydantic import JsonValue

from cloud_connect.client.failures import failure_of
from cloud_connect.client.wire import decoded
from cloud_connect.errors import RemoteProtocolError

__all__ = ["Row", "checked", "record", "records", "text", "told"]

Row = dict[str, JsonValue]


def checked(body: bytes) -> None:
    """Raise the failure that an answer in the platform's shape tells of."""
    with suppress(RemoteProtocolError):  # whoever reads it says so
        told(body)


def told(body: bytes) -> Row:
    """Return the platform's shape of an answer, if it tells of a success.

    Raises:
        CloudConnectError: The failure that it tells of.
    """
    answer = record(decoded(body))
    if answer.get("success") is True:
        return answer
    message = text(answer.get("message")) or ""
    data = answer.get("data")
    status = data.get("status") if isinstance(data, dict) else None
    raise failure_of(data, status=status if isinstance(status, int) else 400, message=message)


def record(value: JsonValue) -> Row:
    """Return an object of an answer.

    Raises:
        RemoteProtocolError: If it is none.
    """
    if not isinstance(value, dict):
        raise RemoteProtocolError("The relay's answer is not of the shape that it should be.")
    return value


def records(value: JsonValue) -> tuple[Row, ...]:
    """Return a list of objects; raises as :func:`record`."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RemoteProtocolError("The relay's answer holds no list where there should be one.")
    return tuple(record(one) for one in value)


def text(value: JsonValue) -> str | None:
    """Return a text of an answer, if it is one."""
    return value if isinstance(value, str) else None
