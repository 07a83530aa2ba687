"""What reads bytes of strangers, each as a function that takes any and lets only refusals out.

Fuzzers call them: hypothesis with every commit, a coverage-guided one at night.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import httpx
from pydantic import ValidationError
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from cloud_connect.errors import CloudConnectError, RemoteProtocolError
from cloud_connect.guarded_links import GuardedClientProtocol, GuardedServerProtocol
from cloud_connect.handshake_messages import Challenge, Confirm, HandshakeError, Hello, Welcome
from cloud_connect.join_token import JoinToken, JoinTokenError
from cloud_connect.query import Query
from cloud_connect.strict_json import StrictJsonError, parse
from cloud_connect.tunnel import (
    DataReceived,
    Event,
    Frame,
    FrameType,
    Multiplexer,
    RequestReceived,
    ResetCode,
    Role,
    StreamReset,
)
from cloud_connect.tunnel.heads import decode_request_head, decode_response_head, decode_trailers
from cloud_connect_agent.policy import parse_policy
from cloud_connect_agent.procore.filters import predicate
from cloud_connect_agent.procore.http_connection import Connection
from cloud_connect_agent.procore.messages import has_next
from cloud_connect_agent.procore.target import parse_target
from cloud_connect_agent.procore.values import Calendar
from cloud_connect_relay.api.link_header import rewrite_links
from cloud_connect_relay.api.row_text import RowJoiner
from cloud_connect_relay.custom_connector.dialects import Dialect, SharedSecret
from cloud_connect_relay.custom_connector.envelope import BagSettings, Envelope
from cloud_connect_relay.request_rules import objection
from doubles.tunnel_pair import GET_PROJECTS, TunnelPair

CALENDAR: Final = Calendar(now=datetime(2026, 11, 26, tzinfo=UTC), zone=UTC)

__all__ = ["SEEDS", "TARGETS", "Target"]

Target = Callable[[bytes], None]
CUSTOM_SECRETS: Final = [SharedSecret.new(dialect) for dialect in Dialect]


def messages(data: bytes) -> Iterator[bytes]:
    """Cut bytes into messages, each behind a length of two bytes."""
    at = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2]) % 4096
        yield data[at + 2 : at + 2 + size]
        at += 2 + size


def frames(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        Frame.decode(data)


def session(multiplexer: Multiplexer, data: bytes) -> None:
    """Feed a multiplexer as a session does, and look at what it may hold."""
    now = 0.0
    for message in messages(data):
        now += 0.25
        try:
            events = multiplexer.receive_frame(message, now=now)
        except RemoteProtocolError:
            return
        for event in events:
            _take(multiplexer, event, now)
        for sent in multiplexer.messages_to_send():
            Frame.decode(sent)
        assert multiplexer.open_streams <= 2048


def _take(multiplexer: Multiplexer, event: Event, now: float) -> None:
    match event:
        case DataReceived(stream_id=stream_id, data=data):
            multiplexer.consume(stream_id, len(data), now=now)
        case StreamReset(stream_id=stream_id):
            multiplexer.confirm_reset(stream_id)
        case RequestReceived(stream_id=stream_id) if multiplexer.is_open(stream_id):
            if stream_id % 3 == 0:
                multiplexer.reset_stream(stream_id, ResetCode.INTERNAL, now=now)
        case _:
            pass


def agents_end(data: bytes) -> None:
    tunnel = TunnelPair.introduced()
    tunnel.agent.open_stream(GET_PROJECTS, now=0.0)
    tunnel.open(end_stream=False)
    session(tunnel.agent, data)


def relays_end(data: bytes) -> None:
    tunnel = TunnelPair.introduced()
    tunnel.relay.open_stream(GET_PROJECTS, now=0.0, end_stream=True)
    tunnel.exchange()
    session(tunnel.relay, data)


def strangers_end(data: bytes) -> None:
    session(Multiplexer(Role.RELAY), data)


def websocket_of_agents(data: bytes) -> None:
    _websocket(GuardedServerProtocol(state=State.OPEN, max_size=128 * 1024 + 1024), data)


def websocket_of_relays(data: bytes) -> None:
    uri = parse_uri("ws://relay/tunnel")
    _websocket(GuardedClientProtocol(uri, state=State.OPEN, max_size=128 * 1024 + 1024), data)


def _websocket(protocol: GuardedServerProtocol | ClientProtocol, data: bytes) -> None:
    for byte in data[:64]:  # one at a time, then the rest
        protocol.receive_data(bytes((byte,)))
    protocol.receive_data(data[64:])
    if protocol.state is not State.CLOSED and not protocol.reader.eof:
        protocol.receive_eof()
    assert not isinstance(protocol.parser_exc, AssertionError | TypeError | AttributeError)


def heads(data: bytes) -> None:
    for decode in (decode_request_head, decode_response_head, decode_trailers):
        with contextlib.suppress(RemoteProtocolError):
            decode(data)


def handshake(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for kind in (Challenge, Hello, Welcome, Confirm):
        with contextlib.suppress(HandshakeError):
            kind.read(text).write()


def join_token(data: bytes) -> None:
    with contextlib.suppress(JoinTokenError):
        JoinToken.parse(data.decode("utf-8", "replace")).reveal()


def json(data: bytes) -> None:
    with contextlib.suppress(StrictJsonError):
        parse(data)


def query(data: bytes) -> None:
    try:
        asked = Query.parse(data)
        test = predicate(asked.condition, lambda _: None, CALENDAR)
        test({"id": 1, "name": "Dent", "created_at": "2026-11-26"})
    except CloudConnectError:
        return


def link_header(data: bytes) -> None:
    text = data.decode("latin-1")
    has_next(text)
    rewritten = rewrite_links(text, base="https://relay.example/api")
    assert rewritten.count("\n") <= text.count("\n")


def rows(data: bytes) -> None:
    """However rows are cut, the array that they make is the same."""
    lines = b"\n".join(b"%d" % byte for byte in data) + b"\n"
    joiner = RowJoiner()
    cut = len(data) // 2
    joined = joiner.feed(lines[:cut]) + joiner.feed(lines[cut:])
    if data:
        assert joined == b",".join(b"%d" % byte for byte in data)


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        del data

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return


def procores_http(data: bytes) -> None:
    connection = Connection(idle=lambda _: None, gone=lambda _: None)
    connection.connection_made(_Transport())
    connection._busy = True
    cut = len(data) // 2
    connection.data_received(data[:cut])
    connection.data_received(data[cut:])
    connection.eof_received()
    connection.release()
    assert isinstance(connection._error, httpx.TransportError)
    assert not isinstance(connection._error, httpx.LocalProtocolError)


def request_head(data: bytes) -> None:
    target, _, rest = data.partition(b"\n")
    lines = [line.partition(b":") for line in rest.split(b"\n")[:20]]
    objection("1.1", target, [(name.lower(), value) for name, _, value in lines])


def policy(data: bytes) -> None:
    with contextlib.suppress(CloudConnectError, UnicodeDecodeError):
        parse_policy(data.decode())


def raw_target(data: bytes) -> None:
    try:
        passed = parse_target(data.decode("latin-1"))
    except CloudConnectError:
        return
    assert passed.raw.startswith("/rest/v")
    assert not {"", ".", ".."} & set(passed.path.removesuffix("/").split("/"))
    assert passed.raw.isascii()


def custom_connector(data: bytes) -> None:
    """The platform's request, its sealed settings, and what is in them."""
    with contextlib.suppress(StrictJsonError, ValidationError):
        Envelope.model_validate(parse(data))
    BagSettings.read(data)
    blocks = data + bytes(-len(data) % 16 or 16)
    for secret in CUSTOM_SECRETS:
        BagSettings.read(secret.decrypt(blocks, data[:16].ljust(16)).text)


TARGETS: Final[dict[str, Target]] = {
    "frames": frames,
    "agents_end": agents_end,
    "relays_end": relays_end,
    "strangers_end": strangers_end,
    "websocket_of_agents": websocket_of_agents,
    "websocket_of_relays": websocket_of_relays,
    "heads": heads,
    "handshake": handshake,
    "join_token": join_token,
    "json": json,
    "query": query,
    "link_header": link_header,
    "rows": rows,
    "procores_http": procores_http,
    "request_head": request_head,
    "policy": policy,
    "raw_target": raw_target,
    "custom_connector": custom_connector,
}


def _message(*sent: Frame) -> bytes:
    joined = b"".join(frame.encode() for frame in sent)
    return len(joined).to_bytes(2) + joined


_REQUEST: Final = b'{"operation":"tree","call_id":"c","deadline_ms":1}'
_OF_A_SESSION: Final = [
    _message(Frame(kind=FrameType.HEADERS, flags=1, stream_id=7, payload=_REQUEST)),
    _message(
        Frame(kind=FrameType.HEADERS, stream_id=1, payload=b'{"status":200}'),
        Frame(kind=FrameType.DATA, flags=1, stream_id=1, payload=b"x" * 50),
    ),
    _message(Frame(kind=FrameType.RST_STREAM, stream_id=1, payload=bytes(4))),
    _message(Frame(kind=FrameType.PING, payload=bytes(8))),
    _message(Frame(kind=FrameType.WINDOW_UPDATE, payload=b"\0\0\x10\0\0\x50\0\0")),
    _message(Frame(kind=FrameType.GOAWAY, payload=bytes(8) + b"bye")),
]
_QUERY: Final = (
    b'{"action":"select","info":{"name":"rfis"},"conditions":[{"group":"or","conditions":'
    b'[{"operator":"matches","arg1":{"name":"name"},"arg2":{"value":"D*t"}}]}]}'
)
SEEDS: Final[dict[str, list[bytes]]] = {
    "frames": [frame[2:] for frame in _OF_A_SESSION],
    "agents_end": _OF_A_SESSION,
    "relays_end": _OF_A_SESSION,
    "strangers_end": _OF_A_SESSION,
    "heads": [_REQUEST, b'{"status":200,"headers":[["a","b"]]}'],
    "json": [b'{"a":[1,-2.5e3,"\\u00e9",null,true]}'],
    "query": [_QUERY],
    "policy": [b'version = 1\n[[rules]]\nallow = ["read"]\n'],
    "procores_http": [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
    ],
    "custom_connector": [
        b'{"requestId":"r","encryptedSettingsPropertyBag":"GFfVYQP0hgW/msnyvsND+Q==","iv":""}',
        b'{"companyId":"5","environment":"live","connectorId":["con_1"],"projectId":7}',
    ],
    "raw_target": [b"rest/v1.0/projects/1/rfis?company_id=2&filters[id]=3"],
    "link_header": [b'<https://api.procore.com/rest/v1.0/x?page=2>; rel="next"'],
}
