"""Answers of Procore and its storage as they are: status, allowed headers, bytes as they come."""

from typing import TYPE_CHECKING, Final

from cloud_connect.errors import SourceUnavailableError
from cloud_connect_relay.api.link_header import rewrite_links
from cloud_connect_relay.calls.times import server_timing

if TYPE_CHECKING:
    from cloud_connect_relay.api.call_response import Reply
    from cloud_connect_relay.calls.answer import Answer

__all__ = ["pass_on"]

# Nothing else comes back: no cookies, nothing hop-by-hop.
_RESPONSE_HEADERS: Final = frozenset(
    {
        "accept-ranges",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
        "link",
        "location",
        "per-page",
        "retry-after",
        "total",
        "www-authenticate",
        "x-rate-limit-limit",
        "x-rate-limit-remaining",
        "x-rate-limit-reset",
        "x-request-id",
    }
)
_LINKS: Final = frozenset({"link", "location"})
_BODILESS: Final = frozenset({204, 304})


async def pass_on(
    answer: "Answer",
    reply: "Reply",
    *,
    base: str | None = None,
    head: bool = False,
    more: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Write an answer: its status, the allowed headers, and its bytes as they come.

    Args:
        base: Where its links lead back to; without one, they are left out.
        head: It answers a HEAD, so its length is not that of its body.
        more: Headers of the relay's own.

    Raises:
        SourceUnavailableError: If it is no HTTP, or ends before its length.
    """
    if not 200 <= answer.status <= 599:
        raise SourceUnavailableError("Procore's answer has a status that HTTP does not know.")
    headers, length = _headers_of(answer, base)
    await reply.start(answer.status, [*headers, *more])
    piece = await answer.receive()
    while not answer.ended:
        await reply.write(piece)
        piece = await answer.receive()
    if length not in {None, answer.received_bytes} and not (head or answer.status in _BODILESS):
        await reply.write(piece)
        raise SourceUnavailableError("Procore's answer is shorter than it announced.")
    await reply.end(piece)


def _headers_of(answer: "Answer", base: str | None) -> tuple[list[tuple[bytes, bytes]], int | None]:
    """Return the headers that the caller may see, and the length that they tell."""
    length: int | None = None
    headers = [(b"cloud-connect-call-id", answer.call_id.encode())]
    if spent := answer.spent:
        headers.append((b"server-timing", server_timing(spent).encode()))
    if answer.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    for given, value in answer.headers:
        name = given.lower()
        if name not in _RESPONSE_HEADERS or (base is None and name in _LINKS):
            continue
        if name == "link":
            headers.append((b"link", rewrite_links(value, base=base or "").encode("latin-1")))
            continue
        if name == "content-length":
            length = int(value) if value.isascii() and value.isdecimal() else None
            if length is None:
                continue
        headers.append((name.encode(), value.encode("latin-1")))
    return headers, length
