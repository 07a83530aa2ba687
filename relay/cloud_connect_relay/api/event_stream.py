"""Server-sent events as an answer: what a listener hears, until one of both ends leaves."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from cloud_connect_relay.api.hang_up import until_hang_up
from cloud_connect_relay.caller import caller_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from cloud_connect_relay.events.hub import About, Event, Listener
    from cloud_connect_relay.services import Services

__all__ = ["EventStream"]

_STALL_SECONDS: Final = 60.0  # without a byte taken, after which the reader is given up
_RETRY_MS: Final = (1_000, 5_000)  # spread: a restart must not bring back all pages at once
_BEAT: Final = b":\n\n"
_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
)


def _as_it_is(event: "Event") -> bytes:
    return event.wire


class EventStream(Response):
    """Passes a subscription's events on.

    It ends when the reader hangs up or takes nothing for a minute, when the credential is
    revoked or expires (``LiveRequests`` cuts the connection), and when the relay drains.

    Args:
        about: What the reader may hear.
        after: The last event that it took, before a break.
        render: Makes an event's bytes; the API's own, unless given.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        services: "Services",
        subscription_id: str,
        *,
        about: "frozenset[About]",
        after: str | None = None,
        render: "Callable[[Event], bytes]" = _as_it_is,
    ) -> None:
        super().__init__()
        self._services: Final = services
        self._subscription_id: Final = subscription_id
        self._about: Final = about
        self._after: Final = after
        self._render: Final = render

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer with events.

        Raises:
            QuotaExceededError: If too many listen to the subscription.
        """
        services = self._services
        with services.events.listen(
            self._subscription_id, self._about, after=self._after
        ) as listener:
            # What the reader asks for after this is no older than what it hears from here on.
            await services.connector_watch.prime(self._subscription_id)
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            async with until_hang_up(scope, receive):
                async for piece in self._pieces(listener):
                    if not await _sent(scope, send, piece):
                        return
            await send({"type": "http.response.body", "body": b""})

    async def _pieces(self, listener: "Listener") -> AsyncIterator[bytes]:
        retry = b"retry: %d\n\n" % random.randint(*_RETRY_MS)  # noqa: S311  a spread, no secret
        yield retry + self._rendered(await listener.receive(0.0))
        while not listener.ended:
            events = await listener.receive(self._services.settings.api.event_heartbeat)
            if events or not listener.ended:
                yield self._rendered(events) or _BEAT

    def _rendered(self, events: "list[Event]") -> bytes:
        return b"".join(self._render(event) for event in events)


async def _sent(scope: "Scope", send: "Send", piece: bytes) -> bool:
    """Send a piece; whether the reader still takes what it is sent."""
    try:
        async with asyncio.timeout(_STALL_SECONDS):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        caller = caller_of(scope)
        if caller is not None:
            caller.cut()
        return False
    return True
