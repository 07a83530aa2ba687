"""A relay as a caller's library sees it: requests are kept, answers come from a script."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from cloud_connect.sealing import (
    SEALED_TYPE,
    AnswerSealer,
    OpenedRequest,
    Part,
    SealingKey,
    open_request,
)

__all__ = ["CONNECTOR", "BrokenOff", "ScriptedRelay", "problem"]

CONNECTOR = "conn_1"

Scripted = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def problem(status: int, code: str, outcome: str, **more: Any) -> httpx.Response:
    """Return a problem document as the relay writes it."""
    headers = {"content-type": "application/problem+json", **more.pop("headers", {})}
    document = {"code": code, "outcome": outcome, "detail": f"It is {code}.", **more}
    return httpx.Response(status, headers=headers, content=orjson.dumps(document))


@dataclass
class ScriptedRelay:
    """Answers requests one after the other; behind its back stands one connector.

    Attributes:
        key: What calls to the connector are sealed to.
        opened: The sealed calls that it got.
    """

    key: SealingKey = field(default_factory=SealingKey.generate)
    script: list[Scripted] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    opened: list[OpenedRequest] = field(default_factory=list)

    @property
    def transport(self) -> httpx.MockTransport:
        """What a client sends its requests through."""
        return httpx.MockTransport(self._answer)

    @property
    def last(self) -> httpx.Request:
        """The last request."""
        return self.requests[-1]

    def then(self, *answers: Scripted) -> None:
        """Give these answers next."""
        self.script += answers

    def tells(self, document: object, **headers: str) -> None:
        """Give a document next."""
        self.then(httpx.Response(200, headers=headers, content=orjson.dumps(document)))

    def seals(self, *parts: tuple[Part, bytes], **headers: str) -> None:
        """Give these parts next, sealed to whoever asks."""

        def answer(request: httpx.Request) -> httpx.Response:
            opened = open_request(
                request.content,
                self.key,
                connector_id=CONNECTOR,
                writes=request.url.params["writes"] == "true",
            )
            self.opened.append(opened)
            sealer = AnswerSealer(opened.head, connector_id=CONNECTOR)
            content = sealer.prelude + b"".join(sealer.seal(part, data) for part, data in parts)
            kinds = {"content-type": SEALED_TYPE, "cloud-connect-call-id": "call_1"}
            return httpx.Response(200, headers={**kinds, **headers}, content=content)

        self.then(answer)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        scripted = self.script.pop(0)
        if isinstance(scripted, Exception):
            raise scripted
        return scripted if isinstance(scripted, httpx.Response) else scripted(request)


class BrokenOff(httpx.AsyncByteStream):
    """A body whose connection breaks after its first piece."""

    def __init__(self, first: bytes) -> None:
        self._first = first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._first
        raise httpx.ReadError("gone")
