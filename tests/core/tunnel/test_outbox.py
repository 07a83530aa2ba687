from cloud_connect.tunnel import (
    MAX_MESSAGE_BYTES,
    Frame,
    FrameType,
    Limits,
    RequestHead,
    ResetCode,
    StreamWritable,
    Trailers,
)
from doubles.tunnel_pair import GET_PROJECTS, OK, TunnelPair, body_of

KIB = 1024
MIB = 1024 * KIB


def answering(tunnel: TunnelPair, count: int) -> list[int]:
    streams = [tunnel.open() for _ in range(count)]
    for stream in streams:
        tunnel.agent.send_head(stream, OK)
    tunnel.exchange()
    tunnel.relay_events.clear()
    return streams


def consume_all(tunnel: TunnelPair, stream: int) -> int:
    size = len(body_of(tunnel.relay_events, stream))
    tunnel.relay_events.clear()
    tunnel.relay.consume(stream, size, now=tunnel.now)
    tunnel.exchange()
    return size


def test_control_frames_and_heads_go_before_bodies() -> None:
    tunnel = TunnelPair.introduced()
    bulk, small = answering(tunnel, 1)[0], tunnel.open()
    tunnel.agent.send_data(bulk, bytes(200 * KIB))
    tunnel.agent.send_head(small, OK)
    tunnel.agent.ping(now=0)
    kinds = [frame.kind for frame in Frame.decode(next(tunnel.agent.messages_to_send()))]
    assert kinds[:3] == [FrameType.HEADERS, FrameType.PING, FrameType.DATA]


def test_bodies_take_turns() -> None:
    tunnel = TunnelPair.introduced()
    bulk, small = answering(tunnel, 2)
    tunnel.agent.send_data(bulk, bytes(200 * KIB))
    tunnel.agent.send_data(small, b"x" * 100)
    first = Frame.decode(next(tunnel.agent.messages_to_send()))
    assert [frame.stream_id for frame in first][:2] == [bulk, small]


def test_messages_stay_within_their_limit() -> None:
    tunnel = TunnelPair.introduced()
    for stream in answering(tunnel, 10):
        tunnel.agent.send_data(stream, bytes(100 * KIB))
    for index in range(20):
        tunnel.relay.open_stream(
            RequestHead(
                operation="x", call_id=str(index), deadline_ms=1, params={"a": "x" * 16_000}
            ),
            now=0,
        )
    messages = [*tunnel.agent.messages_to_send(), *tunnel.relay.messages_to_send()]
    assert max(map(len, messages)) <= MAX_MESSAGE_BYTES
    assert len(messages) <= 12


def test_trailers_that_do_not_fit_go_into_the_next_message() -> None:
    tunnel = TunnelPair.introduced()
    first, second = answering(tunnel, 2)
    tunnel.agent.send_data(first, bytes(64 * KIB))
    tunnel.agent.send_data(second, bytes(50 * KIB))
    tunnel.agent.send_trailers(second, Trailers(paging="x" * 16_000))
    messages = list(tunnel.agent.messages_to_send())
    assert [len(Frame.decode(message)) for message in messages] == [2, 1]
    for message in messages:
        tunnel.relay.receive_frame(message, now=0)
    assert not tunnel.relay.is_open(second)


def test_small_pieces_join_into_one_frame() -> None:
    tunnel = TunnelPair.introduced()
    (stream,) = answering(tunnel, 1)
    for _ in range(100):
        tunnel.agent.send_data(stream, b"row\n")
    (message,) = tunnel.agent.messages_to_send()
    (frame,) = Frame.decode(message)
    assert frame.payload == b"row\n" * 100


def test_writer_is_told_when_there_is_room() -> None:
    tunnel = TunnelPair.introduced()
    (stream,) = answering(tunnel, 1)
    assert tunnel.agent.send_data(stream, bytes(64 * KIB))
    assert not tunnel.agent.send_data(stream, bytes(256 * KIB))
    tunnel.exchange()
    assert StreamWritable(stream_id=stream) in tunnel.agent_events


def test_writers_wait_for_their_last_byte_once_much_is_queued() -> None:
    tunnel = TunnelPair.introduced()
    streams = answering(tunnel, 40)
    goes_on = [tunnel.agent.send_data(stream, bytes(64 * KIB)) for stream in streams]
    assert goes_on == [True] * 32 + [False] * 8


def test_body_larger_than_its_window_goes_on_with_credit() -> None:
    tunnel = TunnelPair.introduced()
    (stream,) = answering(tunnel, 1)
    body = bytes(range(256)) * 4 * KIB * 3
    tunnel.agent.send_data(stream, body, end_stream=True)
    tunnel.exchange()
    received = b""
    while piece := body_of(tunnel.relay_events, stream):
        assert len(piece) <= 256 * KIB
        received += piece
        consume_all(tunnel, stream)
    assert received == body
    assert not tunnel.relay.is_open(stream)


def test_window_grows_for_a_fast_reader_on_a_long_way() -> None:
    tunnel = TunnelPair.introduced()
    tunnel.relay.ping(now=tunnel.now)
    tunnel.now += 0.2
    tunnel.exchange()
    (stream,) = answering(tunnel, 1)
    tunnel.agent.send_data(stream, bytes(40 * MIB))
    flights = []
    tunnel.exchange()
    while size := consume_all(tunnel, stream):
        flights.append(size)
        tunnel.now += 0.2
    assert flights[0] == 256 * KIB
    assert 3.5 * MIB < max(flights) <= 4 * MIB


def test_window_does_not_grow_on_a_short_way() -> None:
    tunnel = TunnelPair.introduced()
    tunnel.relay.ping(now=tunnel.now)
    tunnel.now += 0.0001
    tunnel.exchange()
    (stream,) = answering(tunnel, 1)
    tunnel.agent.send_data(stream, bytes(4 * MIB))
    tunnel.exchange()
    flights = []
    while size := consume_all(tunnel, stream):
        flights.append(size)
        tunnel.now += 0.2
    assert max(flights) == 256 * KIB


def test_stalled_readers_stop_their_own_streams_only() -> None:
    tunnel = TunnelPair.introduced()
    *stalled, lively = answering(tunnel, 300)
    for stream in stalled:
        tunnel.agent.send_data(stream, bytes(MIB))
    tunnel.exchange()
    tunnel.relay_events.clear()
    tunnel.agent.send_data(lively, bytes(2 * MIB))
    tunnel.exchange()
    received = 0
    while size := consume_all(tunnel, lively):
        received += size
    assert received == 2 * MIB


def test_stalled_readers_go_on_when_they_read() -> None:
    limits = Limits(stream_window_bytes=128 * KIB, session_window_bytes=128 * KIB)
    tunnel = TunnelPair.introduced(limits)
    streams = answering(tunnel, 5)
    for stream in streams:
        tunnel.agent.send_data(stream, bytes(MIB), end_stream=True)
    tunnel.exchange()
    while tunnel.relay.open_streams:
        events, tunnel.relay_events = tunnel.relay_events, []
        for stream in streams:
            tunnel.relay.consume(stream, len(body_of(events, stream)), now=tunnel.now)
            tunnel.exchange()


def test_stream_that_waits_for_the_sessions_credit_can_be_reset() -> None:
    limits = Limits(stream_window_bytes=64 * KIB, session_window_bytes=64 * KIB)
    tunnel = TunnelPair.introduced(limits)
    one, other = answering(tunnel, 2)
    tunnel.agent.send_data(one, bytes(MIB))
    tunnel.exchange()
    tunnel.agent.reset_stream(one, ResetCode.CANCEL, now=0)
    tunnel.agent.send_data(other, b"x")
    tunnel.exchange()
    assert body_of(tunnel.relay_events, other) == b"x"


def test_credit_of_a_stream_lets_it_go_on_while_the_session_is_short() -> None:
    tunnel = TunnelPair.introduced(Limits(session_window_bytes=256 * KIB))
    (stream,) = answering(tunnel, 1)
    tunnel.agent.send_data(stream, bytes(MIB))
    tunnel.exchange()
    received = len(body_of(tunnel.relay_events, stream))
    assert received < 192 * KIB
    while size := consume_all(tunnel, stream):
        received += size
    assert received > 800 * KIB


def test_requests_wait_for_nobody() -> None:
    tunnel = TunnelPair.introduced()
    bulk = tunnel.relay.open_stream(GET_PROJECTS, now=0)
    tunnel.relay.send_data(bulk, bytes(MIB))
    tunnel.exchange()
    tunnel.relay.open_stream(GET_PROJECTS, now=0)
    assert tunnel.to_agent() == 1
