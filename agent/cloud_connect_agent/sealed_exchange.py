"""The exchange inside a sealed call: the request that was in it, an answer only its caller reads.

What the relay sees of the answer: its status, what is certain about its effect, its size and
time. Everything else, refusals included, is inside.
"""

from typing import Final

from cloud_connect.errors import Outcome
from cloud_connect.sealing import SEALED_TYPE, AnswerSealer, OpenedRequest, Part
from cloud_connect.tunnel import RequestHead, ResponseHead, Trailers
from cloud_connect.tunnel.heads import encode_head
from cloud_connect_agent.call_exchange import CallExchange

__all__ = ["SEALED_HEADERS", "AnswerSeal", "SealedExchange"]

SEALED_HEADERS: Final = (("content-type", SEALED_TYPE),)


class AnswerSeal:
    """Seals what is kept of a call's answer, to its caller."""

    def __init__(self, request: OpenedRequest, *, connector_id: str) -> None:
        self._request: Final = request
        self._connector_id: Final = connector_id

    @property
    def secret(self) -> bytes:
        """What only the caller and this connector know of the call."""
        return self._request.head.secret

    def sealer(self) -> AnswerSealer:
        """Return what seals one answer."""
        return AnswerSealer(self._request.head, connector_id=self._connector_id)

    def conceal(self, head: ResponseHead, body: bytes | None) -> tuple[ResponseHead, bytes | None]:
        """Return an answer so that nobody but the caller reads it, wherever it is kept."""
        if body is None:
            return _outside(head), None
        sealer = self.sealer()
        parts = [sealer.prelude, sealer.seal(Part.HEAD, encode_head(head))]
        parts += sealer.seal_body(body)
        parts.append(sealer.seal(Part.END, b"{}"))
        return _outside(head), b"".join(parts)


class SealedExchange:
    """What handlers see of a sealed call."""

    def __init__(
        self, outer: CallExchange, request: RequestHead, body: bytes, sealer: AnswerSealer
    ) -> None:
        self.request: Final = request
        self._outer: Final = outer
        self._sealer: Final = sealer
        self._body = body

    @property
    def send_ended(self) -> bool:
        """Whether the answer is complete, or nobody is there for it."""
        return self._outer.send_ended

    @property
    def receive_ended(self) -> bool:
        """True: all of the body is here."""
        return True

    async def receive(self) -> bytes:
        """Return the body, then ``b""``."""
        body, self._body = self._body, b""
        return body

    async def send_head(self, head: ResponseHead, *, end_stream: bool = False) -> None:
        """Begin the answer: outside what the relay needs, inside the head."""
        await self._outer.send_head(_outside(head))
        sealed = self._sealer.prelude + self._sealer.seal(Part.HEAD, encode_head(head))
        if end_stream:
            sealed += self._sealer.seal(Part.END, b"{}")
        await self._outer.send(sealed, end_stream=end_stream)

    async def send(self, data: bytes | memoryview, *, end_stream: bool = False) -> None:
        """Send a piece of the answer's body."""
        for part in self._sealer.seal_body(data):
            await self._outer.send(part)
        if end_stream:
            await self.end()

    async def end(self) -> None:
        """End the answer."""
        await self._outer.send(self._sealer.seal(Part.END, b"{}"), end_stream=True)

    async def send_trailers(self, trailers: Trailers) -> None:
        """End the answer with trailers, of which the relay sees the outcome."""
        await self._outer.send(self._sealer.seal(Part.END, encode_head(trailers)))
        outcome = trailers.problem.outcome if trailers.problem else trailers.outcome
        await self._outer.send_trailers(Trailers(outcome=outcome, hops=trailers.hops))


def _outside(head: ResponseHead) -> ResponseHead:
    """Return what the relay sees of a head."""
    outcome = head.problem.outcome if head.problem else head.outcome
    return ResponseHead(
        status=head.status,
        headers=SEALED_HEADERS,
        outcome=outcome or Outcome.COMPLETED,
        replayed=head.replayed,
        already_absent=head.already_absent,
        hops=head.hops,
    )
