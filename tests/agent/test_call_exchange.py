"""An exchange whose body was read ahead: everything else is as it was."""

from cloud_connect.tunnel import RequestHead, ResponseHead, Trailers
from cloud_connect_agent.call_exchange import CallExchange, ReadAhead

HEAD = RequestHead(operation="tree", call_id="call", deadline_ms=1)


class Told:
    """An exchange that notes what it is told."""

    request = HEAD
    send_ended = False
    receive_ended = False

    def __init__(self) -> None:
        self.told: list[object] = []

    async def receive(self) -> bytes:
        raise AssertionError("its body was read")

    async def send_head(self, head: ResponseHead, *, end_stream: bool = False) -> None:
        self.told.append((head, end_stream))

    async def send(self, data: bytes | memoryview, *, end_stream: bool = False) -> None:
        self.told.append((data, end_stream))

    async def end(self) -> None:
        self.told.append("end")

    async def send_trailers(self, trailers: Trailers) -> None:
        self.told.append(trailers)


async def test_the_body_comes_once_and_the_rest_passes_through() -> None:
    inner = Told()
    ahead: CallExchange = ReadAhead(inner, b"body")
    assert (ahead.request, ahead.send_ended, ahead.receive_ended) == (HEAD, False, True)
    assert [await ahead.receive() for _ in range(2)] == [b"body", b""]
    head, trailers = ResponseHead(status=200), Trailers()
    await ahead.send_head(head, end_stream=True)
    await ahead.send(b"x", end_stream=True)
    await ahead.end()
    await ahead.send_trailers(trailers)
    assert inner.told == [(head, True), (b"x", True), "end", trailers]
