"""Requests that two servers could read differently, each with another one hidden behind it."""

from typing import Final, Protocol

__all__ = ["HIDDEN", "vectors"]

HIDDEN: Final = b"/smuggled"
_BEHIND: Final = b"GET /smuggled HTTP/1.1\r\nHost: relay\r\n\r\n"
_CHUNKS: Final = b"0\r\n\r\n"
_START: Final = b"POST /vector/%d HTTP/1.1\r\n"


class Add(Protocol):
    def __call__(
        self, name: str, head: bytes, body: bytes = ..., *, start: bytes = ..., host: bool = ...
    ) -> None: ...


def vectors() -> dict[str, bytes]:
    """Return the requests by what is wrong with them; each asks for a path of its own."""
    made: dict[str, bytes] = {}

    def add(
        name: str, head: bytes, body: bytes = b"", *, start: bytes = _START, host: bool = True
    ) -> None:
        line = start.replace(b"%d", b"%d" % len(made))
        named = b"Host: relay\r\n" if host else b""
        made[name] = line + named + head + b"\r\n" + body + _BEHIND

    _lengths_and_chunks(add)
    _lengths(add)
    _lines(add)
    _chunks(add)
    _starts(add)
    return made


def _lengths_and_chunks(add: Add) -> None:
    length = b"Content-Length: %d\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n"
    all_of_it = length % (len(_CHUNKS) + len(_BEHIND))
    add("length, then chunks", all_of_it + chunked, _CHUNKS)
    add("chunks, then length", chunked + all_of_it, _CHUNKS)
    add("short length, chunks", length % 4 + chunked, b"5c\r\n" + b"x" * 0x5C + b"\r\n0\r\n\r\n")
    for name, line in {
        "unknown coding": b"Transfer-Encoding: xchunked\r\n",
        "space before the colon": b"Transfer-Encoding : chunked\r\n",
        "tab before the colon": b"Transfer-Encoding\t: chunked\r\n",
        "identity behind": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "identity in front": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n",
        "identity, chunked": b"Transfer-Encoding: identity, chunked\r\n",
        "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n",
        "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n",
        "quoted": b'Transfer-Encoding: "chunked"\r\n',
        "with a parameter": b"Transfer-Encoding: chunked;q=1\r\n",
        "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
        "NUL within": b"Transfer-Encoding: chun\0ked\r\n",
        "NUL in front": b"\0Transfer-Encoding: chunked\r\n",
        "folded": b"Transfer-Encoding:\r\n chunked\r\n",
        "folded away": b"X: y\r\n Transfer-Encoding: chunked\r\n",
        "second carriage return": b"Transfer-Encoding: chunked\r\r\n",
        "bare line feed": b"Transfer-Encoding: chunked\n",
        "bare carriage return in front": b"X: y\rTransfer-Encoding: chunked\r\n",
        "name on a line of its own": b"Transfer-Encoding\r\n: chunked\r\n",
    }.items():
        add(f"coding: {name}", all_of_it + line, _CHUNKS)
    add("chunks of HTTP/1.0", chunked, _CHUNKS, start=b"POST /vector/%d HTTP/1.0\r\n")


def _lengths(add: Add) -> None:
    for name, line in {
        "two": b"Content-Length: 0\r\nContent-Length: 39\r\n",
        "twice the same": b"Content-Length: 0\r\nContent-Length: 0\r\n",
        "list": b"Content-Length: 0, 39\r\n",
        "list of the same": b"Content-Length: 0, 0\r\n",
        "signed": b"Content-Length: +0\r\n",
        "negative": b"Content-Length: -1\r\n",
        "hexadecimal": b"Content-Length: 0x0\r\n",
        "in two words": b"Content-Length: 0 39\r\n",
        "with an end": b"Content-Length: 0;\r\n",
        "empty": b"Content-Length: \r\n",
        "beyond 64 bits": b"Content-Length: 18446744073709551616\r\n",
        "with a letter": b"Content-Length: 0a\r\n",
        "in other digits": b"Content-Length: \xd9\xa0\r\n",
        "behind a vertical tab": b"Content-Length: \x0b0\r\n",
        "space before the colon": b"Content-Length : 0\r\n",
        "folded": b"Content-Length:\r\n 0\r\n",
    }.items():
        add(f"length: {name}", line)


def _lines(add: Add) -> None:
    for name, line in {
        "folded": b"X: a\r\n b\r\n",
        "folded by a tab": b"X: a\r\n\tb\r\n",
        "NUL in a value": b"X: a\0b\r\n",
        "NUL in a name": b"X\0Y: a\r\n",
        "carriage return in a value": b"X: a\rb\r\n",
        "without a colon": b"X\r\n",
        "without a name": b": x\r\n",
        "space in a name": b"X Y: z\r\n",
        "other letters in a name": b"X\xe9: z\r\n",
        "line feed only": b"X: y\n",
        "line feed only, at the end": b"X: y\r\n\n",
        "second Host": b"Host: evil\r\n",
        "second credential": b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        "upgrade to HTTP/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "upgrade to a WebSocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    }.items():
        add(f"header: {name}", line + b"Content-Length: 0\r\n")
    add("header: no Host", b"Content-Length: 0\r\n", host=False)
    add("header: Host with a path", b"Host: relay/evil\r\nContent-Length: 0\r\n", host=False)
    add("header: two names in Host", b"Host: relay, evil\r\nContent-Length: 0\r\n", host=False)
    add("header: Host with a user", b"Host: a@relay\r\nContent-Length: 0\r\n", host=False)


def _chunks(add: Add) -> None:
    for name, body in {
        "0x": b"0x0\r\n\r\n",
        "signed": b"+0\r\n\r\n",
        "negative": b"-1\r\n\r\n",
        "beyond 64 bits": b"10000000000000000\r\n\r\n",
        "no number": b"g\r\n\r\n",
        "no size": b"\r\n\r\n",
        "space in front": b" 1\r\na\r\n0\r\n\r\n",
        "line feed only behind the size": b"1\na\r\n0\r\n\r\n",
        "line feed only behind the bytes": b"1\r\na\n0\r\n\r\n",
        "bytes over the size": b"1\r\nab\r\n0\r\n\r\n",
        "no line end behind the bytes": b"1\r\na0\r\n\r\n",
        "line feed in an extension": b"1;a\nb\r\na\r\n0\r\n\r\n",
        "carriage return in an extension": b"1;a\rb\r\na\r\n0\r\n\r\n",
        "NUL in an extension": b"1;a\0b\r\na\r\n0\r\n\r\n",
        "no end": b"0\r\n",
        "trailer of a length": b"0\r\nContent-Length: 39\r\n\r\n",
        "trailer of a coding": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "trailer of a credential": b"0\r\nAuthorization: Bearer x\r\n\r\n",
        "folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
    }.items():
        add(f"chunk: {name}", b"Transfer-Encoding: chunked\r\n", body)


def _starts(add: Add) -> None:
    for name, line in {
        "tabs": b"POST\t/vector/%d\tHTTP/1.1\r\n",
        "space in the target": b"POST /vector/%d /b HTTP/1.1\r\n",
        "other letters in the target": b"POST /vector/%d\xe9 HTTP/1.1\r\n",
        "lower case version": b"POST /vector/%d http/1.1\r\n",
        "HTTP/1.2": b"POST /vector/%d HTTP/1.2\r\n",
        "HTTP/2.0": b"POST /vector/%d HTTP/2.0\r\n",
        "HTTP/1.10": b"POST /vector/%d HTTP/1.10\r\n",
        "no version": b"GET /vector/%d\r\n",
        "space in front": b" POST /vector/%d HTTP/1.1\r\n",
        "space behind": b"POST /vector/%d HTTP/1.1 \r\n",
        "lower case method": b"post /vector/%d HTTP/1.1\r\n",
        "unknown method": b"GPOST /vector/%d HTTP/1.1\r\n",
        "another's name": b"POST http://evil/vector/%d HTTP/1.1\r\n",
        "tunnel": b"CONNECT relay:80 HTTP/1.1\r\n",
        "preface of HTTP/2": b"PRI * HTTP/2.0\r\n",
        "line feed only": b"POST /vector/%d HTTP/1.1\n",
    }.items():
        add(f"start: {name}", b"Content-Length: 0\r\n", start=line)
