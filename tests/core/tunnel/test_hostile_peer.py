"""Whatever a peer sends: events or RemoteProtocolError, and bounded memory."""

import itertools
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_connect.errors import RemoteProtocolError
from cloud_connect.tunnel import (
    DataReceived,
    Frame,
    FrameType,
    Limits,
    Multiplexer,
    RequestReceived,
    ResetCode,
    Role,
    StreamReset,
)
from doubles.tunnel_pair import GET_PROJECTS, OK, TunnelPair

REQUEST = b'{"operation":"tree","call_id":"c","deadline_ms":1}'
SMALL = Limits(
    max_streams=4,
    stream_window_bytes=65_536,
    session_window_bytes=65_536,
    max_stream_window_bytes=65_536,
    max_session_window_bytes=65_536,
    flood_burst=20,
    max_replies=10,
    cancel_burst=5,
)

payloads = st.sampled_from(
    [
        b"",
        REQUEST,
        b'{"status":200}',
        b'{"total_items":1}',
        bytes(4),
        bytes(8),
        b"\0\0\x10\0\0\1\0\0",
        b"\0\0\0\1\x7f\xff\xff\xff",
        bytes(65_536),
    ]
) | st.binary(max_size=40)
frames = st.builds(
    Frame,
    kind=st.sampled_from(list(FrameType)) | st.integers(0, 255),
    flags=st.integers(0, 3),
    stream_id=st.integers(0, 8),
    payload=payloads,
).map(Frame.encode)
messages = st.lists(st.lists(frames, min_size=1, max_size=4).map(b"".join), max_size=25)


def busy_agent() -> TunnelPair:
    """Return a pair whose agent has streams in every state that lasts."""
    tunnel = TunnelPair.introduced(SMALL)
    answered, uploading, reset = (tunnel.open(end_stream=False) for _ in range(3))
    tunnel.agent.send_head(answered, OK)
    tunnel.agent.send_data(answered, bytes(100_000))
    tunnel.relay.send_data(uploading, b"x", end_stream=True)
    tunnel.exchange()
    tunnel.agent.reset_stream(reset, ResetCode.CANCEL, now=tunnel.now)
    own = tunnel.agent.open_stream(GET_PROJECTS, now=tunnel.now)
    tunnel.agent.send_data(own, bytes(1000), end_stream=True)
    tunnel.agent.open_stream(GET_PROJECTS, now=tunnel.now, end_stream=True)
    return tunnel


def feed(multiplexer: Multiplexer, sent: list[bytes], *, reads: bool) -> None:
    """Hand messages over as a session does, and check what stays in memory."""
    unread = 0
    for now, message in enumerate(sent):
        try:
            events = multiplexer.receive_frame(message, now=float(now))
        except RemoteProtocolError:
            return
        for event in events:
            match event:
                case DataReceived(stream_id=stream_id, data=data):
                    unread += len(data)
                    if reads:
                        multiplexer.consume(stream_id, len(data), now=float(now))
                        unread -= len(data)
                case StreamReset(stream_id=stream_id):
                    multiplexer.confirm_reset(stream_id)
                case RequestReceived(stream_id=stream_id) if multiplexer.is_open(stream_id):
                    multiplexer.reset_stream(stream_id, ResetCode.INTERNAL, now=float(now))
        assert unread <= SMALL.max_session_window_bytes
        assert multiplexer.open_streams <= 2 * SMALL.max_streams
        assert len(multiplexer._outbox._control) < 200
        if now % 3:
            list(multiplexer.messages_to_send())


@given(messages, st.booleans())
@settings(max_examples=200)
def test_any_frames_are_events_or_a_protocol_error(
    sent: list[bytes],
    reads: bool,  # noqa: FBT001 - hypothesis passes by name
) -> None:
    feed(busy_agent().agent, sent, reads=reads)


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_are_events_or_a_protocol_error(sent: list[bytes]) -> None:
    feed(busy_agent().agent, sent, reads=True)
    feed(Multiplexer(Role.RELAY, SMALL), sent, reads=True)


@given(messages, st.lists(st.integers(0, 300), max_size=10))
def test_any_split_and_order_is_events_or_a_protocol_error(
    sent: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(sent)[:4000]
    places = [0, *sorted(cuts), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    feed(busy_agent().agent, pieces, reads=True)
    feed(busy_agent().agent, pieces[::-1], reads=True)


def test_tiny_pieces_cost_their_size_only() -> None:
    tunnel = TunnelPair.introduced()
    tunnel.open(end_stream=False)
    one = Frame(kind=FrameType.DATA, stream_id=1, payload=b"x").encode()
    rest = Frame(kind=200, payload=bytes(60_000)).encode()
    tracemalloc.start()
    kept = [tunnel.agent.receive_frame(one + rest, now=float(now)) for now in range(500)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == 500
    assert size < 500_000


@pytest.mark.parametrize("count", [1023])
def test_most_streams_and_the_largest_heads_stay_bounded(count: int) -> None:
    tunnel = TunnelPair.introduced()
    head = b'{"operation":"tree","call_id":"c","deadline_ms":1,"params":{"a":"%s"}}' % (
        b"x" * 16_000
    )
    for index in range(count):
        frame = Frame(kind=FrameType.HEADERS, stream_id=2 * index + 1, payload=head)
        assert tunnel.agent.receive_frame(frame.encode(), now=0.0)
    assert tunnel.agent.open_streams == count
