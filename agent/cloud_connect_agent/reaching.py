"""From a host's name to an open TCP connection: directly, or through the company's proxy."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from cloud_connect.errors import TunnelError
from cloud_connect_agent.foreign_answers import explain_refusal, schemes_in
from cloud_connect_agent.happy_eyeballs import Address, connect_fastest, interleaved
from cloud_connect_agent.proxies import Proxy
from cloud_connect_agent.version import VERSION

__all__ = ["DialError", "reach"]

_RESOLVE_TIMEOUT: Final = 5.0  # seconds
_MAX_ADDRESSES: Final = 8  # of one name that are tried in one dial
_MAX_HEAD_BYTES: Final = 16 * 1024  # of a proxy's answer
_CHALLENGES: Final = frozenset({"proxy-authenticate", "www-authenticate"})
_USER_TIMEOUT_MS: Final = 20_000  # unacknowledged bytes for so long mean that the link is dead


class DialError(TunnelError):
    """The relay could not be reached, or does not speak as a relay does.

    Attributes:
        proxy_status: What a proxy answered that opened no tunnel.
    """

    proxy_status: int | None = None


async def reach(
    host: str, port: int, *, proxy: Proxy | None, attempt: int, seconds: float
) -> socket.socket:
    """Return a socket whose other end is *host*, nothing sent to it yet.

    Names are looked up anew each time: an address that was good may be dead.

    Args:
        attempt: Which address of the name comes first: a host that accepts and then says
            nothing must not hide the others.
        seconds: For the connection, and again for what the proxy answers.

    Raises:
        DialError: If there is no way there; the message says why.
    """
    if proxy is None:
        return await _connect(host, port, who="relay", attempt=attempt, seconds=seconds)
    if proxy.secure:
        raise DialError(
            f"The proxy {proxy.url} ({proxy.source}) wants TLS to itself, which the tunnel does"
            " not support: name its plain port, as http://…"
        )
    try:
        sock = await _connect(proxy.host, proxy.port, who="proxy", attempt=attempt, seconds=seconds)
    except DialError as exc:
        raise DialError(f"{exc.message} It is the proxy that {proxy.source} names.") from exc
    try:
        async with _bounded(seconds, f"The proxy {proxy.url} does not answer."):
            await _open_tunnel(sock, host, port, proxy)
    except OSError as exc:
        sock.close()
        raise DialError(f"The proxy {proxy.url} cut the connection.") from exc
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(
    host: str, port: int, *, who: str, attempt: int, seconds: float
) -> socket.socket:
    addresses = await _resolve(host, port)
    first = attempt % len(addresses)
    rotated = [*addresses[first:], *addresses[:first]]
    try:
        async with _bounded(seconds, f"The {who} at {host} cannot be reached (no answer)."):
            sock = await connect_fastest(rotated)
    except OSError as exc:
        # asyncio's own text names addresses; the system's says what happened.
        reason = os.strerror(exc.errno).lower() if exc.errno else "no route"
        raise DialError(f"The {who} at {host} cannot be reached ({reason}).") from exc
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
    return sock


async def _resolve(host: str, port: int) -> "Sequence[Address]":
    loop = asyncio.get_running_loop()
    late = f"The name {host} could not be looked up in time: check DNS."
    try:
        async with _bounded(_RESOLVE_TIMEOUT, late):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise DialError(f"The name {host} is not known ({exc.strerror}): check DNS.") from exc
    return interleaved([(family, place) for family, _, _, _, place in found])[:_MAX_ADDRESSES]


async def _open_tunnel(sock: socket.socket, host: str, port: int, proxy: Proxy) -> None:
    """Ask the proxy for a tunnel; what comes after its head belongs to the tunnel."""
    loop = asyncio.get_running_loop()
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [
        f"CONNECT {place} HTTP/1.1",
        f"Host: {place}",
        f"User-Agent: cloud-connect/{VERSION}",
    ]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode("ascii"))
    head = bytearray()
    while b"\r\n\r\n" not in head:
        received = await loop.sock_recv(sock, 4096)
        head += received
        if not received or len(head) > _MAX_HEAD_BYTES:
            raise DialError(f"What answers at {proxy.url} is no proxy.")
    status_line, _, fields = bytes(head).partition(b"\r\n")
    protocol, _, rest = status_line.partition(b" ")
    status = rest[:3]
    if not protocol.startswith(b"HTTP/1.") or not status.isdigit():
        raise DialError(f"What answers at {proxy.url} is no proxy.")
    if not 200 <= int(status) < 300:
        offers = schemes_in(_challenges(fields))
        refused = DialError(explain_refusal(int(status), proxy, host=place, offers=offers))
        refused.proxy_status = int(status)
        raise refused
    # In TLS and in HTTP it is us who speak first.
    if not head.endswith(b"\r\n\r\n"):
        raise DialError(f"The proxy {proxy.url} sent bytes that nobody asked for.")


def _challenges(fields: bytes) -> Iterator[str]:
    """Yield the values of the headers that name ways to sign in."""
    for line in fields.decode("latin-1").partition("\r\n\r\n")[0].split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() in _CHALLENGES:
            yield value


@asynccontextmanager
async def _bounded(seconds: float, late: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise DialError(late) from exc
