import pytest

from cloud_connect.errors import FlowControlError, RemoteProtocolError
from cloud_connect.tunnel import (
    Event,
    Frame,
    FrameType,
    Limits,
    Multiplexer,
    RequestReceived,
    ResetCode,
    Role,
    StreamReset,
)
from cloud_connect.tunnel.frames import Setting, encode_settings, pack_ping, pack_reset
from doubles.tunnel_pair import OK, TunnelPair

REQUEST = b'{"operation":"tree","call_id":"c","deadline_ms":1}'
SETTINGS = {
    Setting.VERSION_MAX: 1,
    Setting.VERSION_MIN: 1,
    Setting.MAX_STREAMS: 10,
    Setting.STREAM_WINDOW: 65_536,
    Setting.SESSION_WINDOW: 65_536,
}


@pytest.fixture
def tunnel() -> TunnelPair:
    return TunnelPair.introduced()


def agent_receives(tunnel: TunnelPair, *frames: Frame) -> list[Event]:
    message = b"".join(frame.encode() for frame in frames)
    return tunnel.agent.receive_frame(message, now=tunnel.now)


def headers(stream_id: int, payload: bytes = REQUEST, flags: int = 0) -> Frame:
    return Frame(kind=FrameType.HEADERS, flags=flags, stream_id=stream_id, payload=payload)


def data(stream_id: int, payload: bytes = b"", flags: int = 0) -> Frame:
    return Frame(kind=FrameType.DATA, flags=flags, stream_id=stream_id, payload=payload)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({Setting.VERSION_MIN: 2, Setting.VERSION_MAX: 3}, "no common protocol version"),
        ({Setting.VERSION_MAX: 0, Setting.VERSION_MIN: 0}, "no common protocol version"),
        ({Setting.STREAM_WINDOW: 65_535}, "STREAM_WINDOW"),
        ({Setting.SESSION_WINDOW: 2**31}, "SESSION_WINDOW"),
        ({Setting.STREAM_WINDOW: 65_537}, "smaller than STREAM_WINDOW"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[Setting, int], reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        Multiplexer(Role.AGENT).receive_frame(encode_settings(SETTINGS | changes), now=0)


def test_settings_that_lack_one_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="lacks MAX_STREAMS, STREAM_WINDOW"):
        Multiplexer(Role.AGENT).receive_frame(
            encode_settings({Setting.VERSION_MAX: 1, Setting.VERSION_MIN: 1}), now=0
        )


def test_peer_of_the_next_version_is_spoken_to_in_ours() -> None:
    multiplexer = Multiplexer(Role.AGENT)
    multiplexer.receive_frame(encode_settings(SETTINGS | {Setting.VERSION_MAX: 2}), now=0)
    assert multiplexer.is_ready


def test_unknown_setting_of_a_later_version_is_skipped() -> None:
    frame = encode_settings(SETTINGS)
    later = Frame(kind=FrameType.SETTINGS, payload=frame[9:] + b"\0\x63\0\0\0\1")
    assert Multiplexer(Role.AGENT).receive_frame(later.encode(), now=0)


def test_nothing_is_taken_before_settings() -> None:
    with pytest.raises(RemoteProtocolError, match="before SETTINGS"):
        Multiplexer(Role.AGENT).receive_frame(pack_ping(bytes(8), ack=False), now=0)


def test_second_settings_are_refused(tunnel: TunnelPair) -> None:
    with pytest.raises(RemoteProtocolError, match="second SETTINGS"):
        tunnel.agent.receive_frame(encode_settings(SETTINGS), now=0)


def test_broken_session_takes_nothing_more(tunnel: TunnelPair) -> None:
    with pytest.raises(RemoteProtocolError):
        tunnel.agent.receive_frame(b"", now=0)
    with pytest.raises(RemoteProtocolError, match="without a frame"):
        agent_receives(tunnel, headers(1))


def test_unknown_frames_and_flags_are_skipped(tunnel: TunnelPair) -> None:
    events = agent_receives(
        tunnel,
        Frame(kind=200, flags=255, stream_id=77, payload=b"later"),
        headers(1, flags=0xF0),
    )
    assert [type(event) for event in events] == [RequestReceived]


@pytest.mark.parametrize("kind", [FrameType.SETTINGS, FrameType.PING, FrameType.GOAWAY])
def test_frame_of_the_session_names_no_stream(tunnel: TunnelPair, kind: FrameType) -> None:
    with pytest.raises(RemoteProtocolError, match="on a stream"):
        agent_receives(tunnel, Frame(kind=kind, stream_id=1, payload=bytes(8)))


@pytest.mark.parametrize("stream_id", [0, 2])
def test_relay_opens_no_even_stream(tunnel: TunnelPair, stream_id: int) -> None:
    with pytest.raises(RemoteProtocolError, match="not open"):
        agent_receives(tunnel, headers(stream_id))


def test_stream_ids_only_grow(tunnel: TunnelPair) -> None:
    agent_receives(tunnel, headers(9))
    with pytest.raises(RemoteProtocolError, match="not open"):
        agent_receives(tunnel, headers(7))


def test_more_streams_than_allowed_end_the_session() -> None:
    tunnel = TunnelPair.introduced(Limits(max_streams=2))
    agent_receives(tunnel, headers(1), headers(3))
    with pytest.raises(RemoteProtocolError, match="more than 2"):
        agent_receives(tunnel, headers(5))


def test_request_has_one_head(tunnel: TunnelPair) -> None:
    agent_receives(tunnel, headers(1))
    with pytest.raises(RemoteProtocolError, match="request direction"):
        agent_receives(tunnel, headers(1, flags=1))


def test_data_needs_an_open_stream(tunnel: TunnelPair) -> None:
    with pytest.raises(RemoteProtocolError, match="not open"):
        agent_receives(tunnel, data(1, b"x"))


def test_data_needs_a_head(tunnel: TunnelPair) -> None:
    stream = tunnel.open()
    with pytest.raises(RemoteProtocolError, match="before the response head"):
        tunnel.relay.receive_frame(data(stream, b"x").encode(), now=0)


def test_trailers_end_the_stream(tunnel: TunnelPair) -> None:
    stream = tunnel.open()
    answer = headers(stream, b'{"status":200}')
    with pytest.raises(RemoteProtocolError, match="trailers without"):
        tunnel.relay.receive_frame(answer.encode() * 2, now=0)


def test_nothing_follows_the_end(tunnel: TunnelPair) -> None:
    agent_receives(tunnel, headers(1, flags=1))
    with pytest.raises(RemoteProtocolError, match="HALF_CLOSED_REMOTE"):
        agent_receives(tunnel, data(1, b"x"))


def test_peer_that_overruns_a_streams_window_is_cut_off(tunnel: TunnelPair) -> None:
    agent_receives(tunnel, headers(1))
    for _ in range(4):
        agent_receives(tunnel, data(1, bytes(65_536)))
    with pytest.raises(FlowControlError, match="window allowed 0"):
        agent_receives(tunnel, data(1, b"x"))


def test_peer_that_overruns_the_sessions_window_is_cut_off() -> None:
    limits = Limits(
        stream_window_bytes=65_536, session_window_bytes=65_536, max_session_window_bytes=65_536
    )
    tunnel = TunnelPair.introduced(limits)
    agent_receives(tunnel, headers(1), headers(3))
    agent_receives(tunnel, data(1, bytes(65_536)))
    with pytest.raises(FlowControlError, match="window allowed 0"):
        agent_receives(tunnel, data(3, b"x"))


def test_confirmation_needs_a_reset(tunnel: TunnelPair) -> None:
    confirmation = Frame(kind=FrameType.RST_STREAM, flags=2, stream_id=1)
    with pytest.raises(RemoteProtocolError, match="no reset"):
        agent_receives(tunnel, confirmation)


def test_confirmation_of_an_open_stream_is_refused(tunnel: TunnelPair) -> None:
    with pytest.raises(RemoteProtocolError, match="CONFIRM"):
        agent_receives(tunnel, headers(1), Frame(kind=FrameType.RST_STREAM, flags=2, stream_id=1))


def test_confirmation_has_no_payload(tunnel: TunnelPair) -> None:
    with pytest.raises(RemoteProtocolError, match="payload"):
        agent_receives(
            tunnel,
            headers(1),
            Frame(kind=FrameType.RST_STREAM, flags=2, stream_id=1, payload=bytes(4)),
        )


@pytest.mark.parametrize("stream_id", [0, 1, 2])
def test_reset_of_a_stream_that_never_was_is_refused(tunnel: TunnelPair, stream_id: int) -> None:
    with pytest.raises(RemoteProtocolError, match="never opened"):
        tunnel.agent.receive_frame(pack_reset(stream_id, 1), now=0)


@pytest.mark.parametrize("stream_id", [1, 2])
def test_credit_for_a_stream_that_never_was_is_refused(tunnel: TunnelPair, stream_id: int) -> None:
    update = Frame(kind=FrameType.WINDOW_UPDATE, stream_id=stream_id, payload=bytes(8))
    with pytest.raises(RemoteProtocolError, match="never opened"):
        agent_receives(tunnel, update)


def test_credit_for_a_closed_stream_is_skipped(tunnel: TunnelPair) -> None:
    stream = tunnel.open()
    tunnel.agent.send_head(stream, OK, end_stream=True)
    tunnel.exchange()
    update = Frame(kind=FrameType.WINDOW_UPDATE, stream_id=stream, payload=bytes(8))
    assert agent_receives(tunnel, update) == []


def test_credit_that_overflows_the_sessions_window_is_refused(tunnel: TunnelPair) -> None:
    update = Frame(kind=FrameType.WINDOW_UPDATE, payload=b"\0\0\0\1\0\x40\0\0")
    with pytest.raises(FlowControlError, match="overflows"):
        agent_receives(tunnel, update)


def test_answer_to_no_ping_is_refused(tunnel: TunnelPair) -> None:
    with pytest.raises(RemoteProtocolError, match="no ping"):
        tunnel.agent.receive_frame(pack_ping(bytes(8), ack=True), now=0)


def test_answer_to_another_ping_is_refused(tunnel: TunnelPair) -> None:
    tunnel.agent.ping(now=0)
    with pytest.raises(RemoteProtocolError, match="no ping"):
        tunnel.agent.receive_frame(pack_ping(bytes(8), ack=True), now=0)


def test_ping_has_eight_bytes(tunnel: TunnelPair) -> None:
    with pytest.raises(RemoteProtocolError, match="8 bytes"):
        agent_receives(tunnel, Frame(kind=FrameType.PING, payload=bytes(7)))


def cancel(tunnel: TunnelPair, stream_id: int) -> None:
    reset = Frame(kind=FrameType.RST_STREAM, stream_id=stream_id, payload=bytes(4))
    events = agent_receives(tunnel, headers(stream_id), reset)
    assert events[-1] == StreamReset(stream_id=stream_id, code=ResetCode.NO_ERROR)


class TestFloods:
    @pytest.mark.parametrize(
        "frame",
        [
            Frame(kind=FrameType.PING, payload=bytes(8)),
            Frame(kind=FrameType.GOAWAY, payload=bytes(8)),
            Frame(kind=250),
            data(1),
            Frame(kind=FrameType.WINDOW_UPDATE, stream_id=3, payload=bytes(8)),
            Frame(kind=FrameType.RST_STREAM, stream_id=3, payload=bytes(4)),
        ],
        ids=["ping", "goaway", "unknown", "empty data", "tiny credit", "late reset"],
    )
    def test_flood_of_worthless_frames_is_cut_off(self, tunnel: TunnelPair, frame: Frame) -> None:
        agent_receives(tunnel, headers(1), headers(5))  # 3 is closed: its id was passed over
        for _ in range(1000):
            agent_receives(tunnel, frame)
            list(tunnel.agent.messages_to_send())
        with pytest.raises(RemoteProtocolError, match="rate_abuse"):
            agent_receives(tunnel, frame)

    def test_patient_pings_are_answered(self, tunnel: TunnelPair) -> None:
        for _ in range(3000):
            tunnel.now += 0.1
            agent_receives(tunnel, Frame(kind=FrameType.PING, payload=bytes(8)))
            assert tunnel.agent.has_messages
            list(tunnel.agent.messages_to_send())

    def test_replies_do_not_pile_up_behind_a_peer_that_does_not_read(self) -> None:
        tunnel = TunnelPair.introduced(Limits(flood_burst=10_000, max_replies=100))
        ping = Frame(kind=FrameType.PING, payload=bytes(8))
        agent_receives(tunnel, *[ping] * 100)
        with pytest.raises(RemoteProtocolError, match="provoked"):
            agent_receives(tunnel, ping)

    def test_open_and_cancel_storm_is_cut_off(self, tunnel: TunnelPair) -> None:
        for stream_id in range(1, 201, 2):
            cancel(tunnel, stream_id)
            tunnel.agent.confirm_reset(stream_id)
        with pytest.raises(RemoteProtocolError, match="rate_abuse"):
            cancel(tunnel, 201)

    def test_resets_of_the_accepting_side_are_no_abuse(self, tunnel: TunnelPair) -> None:
        for _ in range(300):
            stream = tunnel.open()
            tunnel.agent.reset_stream(stream, ResetCode.INTERNAL, now=tunnel.now)
            tunnel.exchange()
            tunnel.relay.confirm_reset(stream)
            tunnel.exchange()
        assert not tunnel.agent.open_streams
