"""Whether a request that changes something comes from a page of the console.

A browser sends its cookies along with what any page tells it to send. So a change must come from
our own origin, as the browser says, and show what only our pages know: a token made from the
session's secret. Other sites know neither.
"""

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cloud_connect.errors import InsufficientScopeError

if TYPE_CHECKING:
    from starlette.requests import Request

    from cloud_connect_relay.console.addresses import ConsoleAddresses

__all__ = ["FIELD", "HEADER", "ForgedRequestError", "check_origin", "check_token", "token_for"]

FIELD: Final = "csrf"
HEADER: Final = "x-csrf-token"
_PURPOSE: Final = b"cloud-connect console: forms"
_OWN_SITES: Final = frozenset({"same-origin", "none"})  # none: typed or repeated by the person


class ForgedRequestError(InsufficientScopeError):
    """The request did not come from a page of this session."""


def token_for(secret: str) -> str:
    """Return the token of the session whose cookie is *secret*."""
    digest = hmac.new(secret.encode(), _PURPOSE, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def check_origin(request: "Request", addresses: "ConsoleAddresses") -> None:
    """Refuse what another site's page has sent.

    Raises:
        ForgedRequestError: If the browser says so.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in _OWN_SITES:
            raise _forged()
        return
    origin = request.headers.get("origin")
    if origin is None or origin == addresses.origin:
        return  # without either, the token alone decides
    host = request.headers.get("host", "")
    if origin == "null" or urlsplit(origin).netloc != host:
        raise _forged()


def check_token(request: "Request", sent: str | None, expected: str) -> None:
    """Refuse what does not carry the session's token, in a field or in a header.

    Raises:
        ForgedRequestError: If it does not.
    """
    given = sent or request.headers.get(HEADER) or ""
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise _forged()


def _forged() -> ForgedRequestError:
    return ForgedRequestError(
        "Nothing was changed: the form did not come from a page of this session. Go back, load"
        " the page again and send it once more."
    )
