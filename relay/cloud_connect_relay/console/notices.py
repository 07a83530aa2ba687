"""What the page after a redirect says once: "Details saved successfully"."""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cloud_connect_relay.console.sessions import cookie_name

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from cloud_connect_relay.console.addresses import ConsoleAddresses
    from cloud_connect_relay.console.sessions import Session

__all__ = ["Kind", "Notice", "clear", "leave", "read"]

_NAME: Final = "cloud_connect_notice"
_LIFETIME: Final = 60  # seconds from the redirect to the page that it leads to
_MAX_TEXT: Final = 500
_PURPOSE: Final = b"cloud-connect console: notices"


class Kind(StrEnum):
    """How a notice looks."""

    SUCCESS = "success"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the person; never with a secret in it."""

    text: str
    kind: Kind = Kind.SUCCESS


def leave(
    response: "Response", notice: Notice, *, session: "Session", addresses: "ConsoleAddresses"
) -> None:
    """Have the browser bring *notice* to the next page, signed, so that nobody else writes it."""
    document = json.dumps([notice.kind.value, notice.text[:_MAX_TEXT]]).encode()
    value = _encode(_signature(document, session)) + "." + _encode(document)
    response.set_cookie(
        cookie_name(addresses, _NAME),
        value,
        max_age=_LIFETIME,
        httponly=True,
        secure=addresses.secure,
        samesite="lax",
    )


def read(request: "Request", *, session: "Session", addresses: "ConsoleAddresses") -> Notice | None:
    """Return what the browser brings, if it is ours."""
    value = request.cookies.get(cookie_name(addresses, _NAME))
    if value is None:
        return None
    signature, _, text = value.partition(".")
    try:
        document, signed = _decode(text), _decode(signature)
    except (binascii.Error, ValueError):
        return None
    if not hmac.compare_digest(signed, _signature(document, session)):
        return None
    kind, sentence = json.loads(document)
    return Notice(sentence, Kind(kind))


def clear(request: "Request", response: "Response", *, addresses: "ConsoleAddresses") -> None:
    """Have the browser forget the notice, if it has one."""
    name = cookie_name(addresses, _NAME)
    if name in request.cookies:
        response.delete_cookie(name, httponly=True, secure=addresses.secure, samesite="lax")


def _signature(document: bytes, session: "Session") -> bytes:
    return hmac.new(session.secret.encode(), _PURPOSE + document, hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
