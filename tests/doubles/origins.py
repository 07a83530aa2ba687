"""Asking one origin directly, without the client above it."""

import httpx

from cloud_connect_agent.procore.transport import Origin, Timeouts
from doubles.fake_procore import Reply

TIMES = Timeouts(connect_timeout=2.0, stall_timeout=0.3)
TARGET = b'/rest/v1.0/me?filters[q]="<a>"&b=%2f..'


async def get(origin: Origin, target: bytes = TARGET, *, method: str = "GET") -> tuple[int, bytes]:
    response = await origin.send(method, target, headers=(), reuse=True)
    try:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        body = b"".join([chunk async for chunk in response.stream])
    finally:
        await response.aclose()
    return response.status_code, body


def raw(text: str) -> Reply:
    """An answer to the byte, and the connection closed behind it."""
    return Reply(raw=text.replace("\n", "\r\n").encode("latin-1"))
