"""What a call needs of its exchange, and an exchange whose body was read ahead."""

from typing import Final, Protocol

from cloud_connect.tunnel import RequestHead, ResponseHead, Trailers

__all__ = ["CallExchange", "ReadAhead"]


class CallExchange(Protocol):
    """An exchange, as far as answering a call goes; see ``cloud_connect.exchange.Exchange``."""

    @property
    def request(self) -> RequestHead:
        """The head that asked."""
        ...

    @property
    def send_ended(self) -> bool:
        """Whether the answer is complete, or nobody is there for it."""
        ...

    @property
    def receive_ended(self) -> bool:
        """Whether the request's body is complete."""
        ...

    async def receive(self) -> bytes:
        """Return the next piece of the request's body, ``b""`` at its end."""
        ...

    async def send_head(self, head: ResponseHead, *, end_stream: bool = False) -> None:
        """Begin the answer."""
        ...

    async def send(self, data: bytes | memoryview, *, end_stream: bool = False) -> None:
        """Send a piece of the answer's body."""
        ...

    async def end(self) -> None:
        """End the answer."""
        ...

    async def send_trailers(self, trailers: Trailers) -> None:
        """End the answer with trailers."""
        ...


class ReadAhead:
    """An exchange whose request body was read already, and is read again from here."""

    def __init__(self, inner: CallExchange, body: bytes) -> None:
        self._inner: Final = inner
        self._body = body

    @property
    def request(self) -> RequestHead:
        """The head that asked."""
        return self._inner.request

    @property
    def send_ended(self) -> bool:
        """Whether the answer is complete, or nobody is there for it."""
        return self._inner.send_ended

    @property
    def receive_ended(self) -> bool:
        """True: all of the body is here."""
        return True

    async def receive(self) -> bytes:
        """Return the body, then ``b""``."""
        body, self._body = self._body, b""
        return body

    async def send_head(self, head: ResponseHead, *, end_stream: bool = False) -> None:
        """Begin the answer."""
        await self._inner.send_head(head, end_stream=end_stream)

    async def send(self, data: bytes | memoryview, *, end_stream: bool = False) -> None:
        """Send a piece of the answer's body."""
        await self._inner.send(data, end_stream=end_stream)

    async def end(self) -> None:
        """End the answer."""
        await self._inner.end()

    async def send_trailers(self, trailers: Trailers) -> None:
        """End the answer with trailers."""
        await self._inner.send_trailers(trailers)
