import pytest

from cloud_connect.errors import (
    LocalProtocolError,
    QuotaExceededError,
    RemoteProtocolError,
    TunnelClosedError,
)
from cloud_connect.tunnel import (
    DataReceived,
    Frame,
    FrameType,
    GoAwayCode,
    GoAwayReceived,
    Limits,
    Multiplexer,
    PingAnswered,
    RequestReceived,
    ResetCode,
    ResponseReceived,
    Role,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    Trailers,
    TrailersReceived,
)
from doubles.tunnel_pair import GET_PROJECTS, OK, TunnelPair, body_of


@pytest.fixture
def tunnel() -> TunnelPair:
    return TunnelPair.introduced()


def test_sides_introduce_themselves_first() -> None:
    tunnel = TunnelPair()
    assert not tunnel.relay.is_ready
    tunnel.exchange()
    assert tunnel.relay_events == [SettingsReceived(version=1, max_streams=1024)]
    assert tunnel.agent_events == tunnel.relay_events
    assert tunnel.relay.is_ready


def test_relay_opens_odd_streams_and_agent_even_ones(tunnel: TunnelPair) -> None:
    relay_ids = [tunnel.relay.open_stream(GET_PROJECTS, now=0) for _ in range(3)]
    agent_ids = [tunnel.agent.open_stream(GET_PROJECTS, now=0) for _ in range(3)]
    assert (relay_ids, agent_ids) == ([1, 3, 5], [2, 4, 6])


def test_call_goes_there_and_back(tunnel: TunnelPair) -> None:
    stream = tunnel.open()
    assert tunnel.agent_events == [
        RequestReceived(stream_id=stream, head=GET_PROJECTS, end_stream=True)
    ]
    tunnel.agent.send_head(stream, OK)
    assert tunnel.agent.send_data(stream, b"[]")
    tunnel.agent.send_trailers(stream, Trailers(total_items=0))
    tunnel.exchange()
    assert tunnel.relay_events == [
        ResponseReceived(stream_id=stream, head=OK, end_stream=False),
        DataReceived(stream_id=stream, data=b"[]", end_stream=False),
        TrailersReceived(stream_id=stream, trailers=Trailers(total_items=0)),
        StreamClosed(stream_id=stream),
    ]
    assert tunnel.agent_events[-1] == StreamClosed(stream_id=stream)
    assert not tunnel.relay.open_streams
    assert not tunnel.relay.is_open(stream)


def test_head_and_short_body_travel_in_one_message(tunnel: TunnelPair) -> None:
    stream = tunnel.open()
    tunnel.agent.send_head(stream, OK)
    tunnel.agent.send_data(stream, b"[]", end_stream=True)
    assert len(list(tunnel.agent.messages_to_send())) == 1


def test_answer_may_be_a_head_alone(tunnel: TunnelPair) -> None:
    stream = tunnel.open()
    tunnel.agent.send_head(stream, OK, end_stream=True)
    tunnel.exchange()
    assert tunnel.relay_events == [
        ResponseReceived(stream_id=stream, head=OK, end_stream=True),
        StreamClosed(stream_id=stream),
    ]


def test_body_may_end_behind_its_last_byte(tunnel: TunnelPair) -> None:
    stream = tunnel.open()
    tunnel.agent.send_head(stream, OK)
    tunnel.agent.send_data(stream, b"[]")
    tunnel.exchange()
    tunnel.agent.send_data(stream, b"")
    tunnel.agent.send_data(stream, b"", end_stream=True)
    tunnel.exchange()
    assert DataReceived(stream_id=stream, data=b"", end_stream=True) in tunnel.relay_events
    assert not tunnel.agent.open_streams


def test_upload_and_download_cross(tunnel: TunnelPair) -> None:
    stream = tunnel.open(end_stream=False)
    tunnel.relay.send_data(stream, memoryview(b"up" * 50_000), end_stream=True)
    tunnel.agent.send_head(stream, OK)
    tunnel.agent.send_data(stream, b"down" * 50_000, end_stream=True)
    tunnel.exchange()
    assert body_of(tunnel.agent_events, stream) == b"up" * 50_000
    assert body_of(tunnel.relay_events, stream) == b"down" * 50_000
    assert not tunnel.agent.open_streams


def test_ping_measures_the_round_trip(tunnel: TunnelPair) -> None:
    assert tunnel.relay.ping(now=tunnel.now)
    tunnel.now += 0.25
    assert not tunnel.relay.ping(now=tunnel.now)
    tunnel.exchange()
    assert tunnel.relay_events == [PingAnswered(round_trip=0.25)]
    assert tunnel.relay.round_trip == 0.25
    assert tunnel.relay.ping(now=tunnel.now)


class TestReset:
    def test_slot_is_kept_until_the_other_side_confirms(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open()
        tunnel.relay.reset_stream(stream, ResetCode.CANCEL, now=tunnel.now)
        tunnel.exchange()
        assert tunnel.agent_events[-1] == StreamReset(stream_id=stream, code=ResetCode.CANCEL)
        assert tunnel.relay.is_open(stream)
        tunnel.agent.confirm_reset(stream)
        tunnel.exchange()
        assert not tunnel.relay.is_open(stream)
        assert not tunnel.agent.is_open(stream)

    def test_second_reset_changes_nothing(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open()
        tunnel.relay.reset_stream(stream, ResetCode.CANCEL, now=0)
        tunnel.relay.reset_stream(stream, ResetCode.CANCEL, now=0)
        tunnel.relay.reset_stream(99, ResetCode.CANCEL, now=0)
        assert len(Frame.decode(next(iter(tunnel.relay.messages_to_send())))) == 1

    def test_resets_that_cross_confirm_each_other(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open()
        tunnel.relay.reset_stream(stream, ResetCode.CANCEL, now=0)
        tunnel.agent.reset_stream(stream, ResetCode.DEADLINE, now=0)
        tunnel.exchange()
        assert not any(isinstance(event, StreamReset) for event in tunnel.relay_events)
        assert not tunnel.relay.open_streams
        assert not tunnel.agent.open_streams

    def test_reset_that_crosses_the_end_is_confirmed_all_the_same(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open()
        tunnel.agent.send_head(stream, OK, end_stream=True)
        tunnel.relay.reset_stream(stream, ResetCode.CANCEL, now=0)
        tunnel.exchange()
        assert not tunnel.relay.open_streams

    def test_what_arrives_after_a_reset_is_dropped_and_credited(self, tunnel: TunnelPair) -> None:
        limits = Limits(stream_window_bytes=128 * 1024, session_window_bytes=128 * 1024)
        tunnel = TunnelPair.introduced(limits)
        for _ in range(20):
            stream = tunnel.open()
            tunnel.agent.send_head(stream, OK)
            tunnel.agent.send_data(stream, b"x" * 30_000)
            tunnel.agent.send_trailers(stream, Trailers())
            tunnel.relay.reset_stream(stream, ResetCode.CANCEL, now=0)
            tunnel.to_relay()
            tunnel.exchange()
            assert not body_of(tunnel.relay_events, stream)
        assert not tunnel.relay.open_streams

    def test_queued_body_is_not_sent_after_a_reset(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open()
        tunnel.agent.send_head(stream, OK)
        tunnel.agent.send_data(stream, b"x" * 1000, end_stream=True)
        tunnel.agent.reset_stream(stream, ResetCode.SLOW, now=0)
        tunnel.exchange()
        assert not body_of(tunnel.relay_events, stream)
        assert tunnel.relay_events[-1] == StreamReset(stream_id=stream, code=ResetCode.SLOW)

    def test_reset_that_waits_for_confirmation_takes_nothing_from_the_peer_but_that(
        self, tunnel: TunnelPair
    ) -> None:
        stream = tunnel.open()
        tunnel.relay.reset_stream(stream, ResetCode.CANCEL, now=0)
        tunnel.exchange()
        with pytest.raises(RemoteProtocolError, match="RESET_RECEIVED"):
            tunnel.agent.receive_frame(
                Frame(kind=FrameType.DATA, flags=1, stream_id=stream).encode(), now=0
            )

    def test_answered_upload_is_stopped_with_no_error(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open(end_stream=False)
        tunnel.agent.send_head(stream, OK)
        tunnel.agent.send_data(stream, b"no thanks", end_stream=True)
        tunnel.agent.stop_receiving(stream)
        tunnel.exchange()
        assert tunnel.relay_events[-1] == StreamReset(stream_id=stream, code=ResetCode.NO_ERROR)
        assert body_of(tunnel.relay_events, stream) == b"no thanks"
        tunnel.agent.stop_receiving(stream)
        tunnel.relay.confirm_reset(stream)
        tunnel.exchange()
        tunnel.agent.stop_receiving(stream)
        assert not tunnel.agent.open_streams

    def test_answer_that_is_out_already_is_followed_by_no_error_at_once(
        self, tunnel: TunnelPair
    ) -> None:
        stream = tunnel.open(end_stream=False)
        tunnel.agent.send_head(stream, OK, end_stream=True)
        tunnel.exchange()
        tunnel.agent.stop_receiving(stream)
        tunnel.exchange()
        assert tunnel.relay_events[-1] == StreamReset(stream_id=stream, code=ResetCode.NO_ERROR)

    def test_farewell_is_not_needed_when_the_upload_ended_meanwhile(
        self, tunnel: TunnelPair
    ) -> None:
        stream = tunnel.open(end_stream=False)
        tunnel.agent.send_head(stream, OK)
        tunnel.agent.send_data(stream, b"", end_stream=True)
        tunnel.agent.stop_receiving(stream)
        tunnel.relay.send_data(stream, b"", end_stream=True)
        tunnel.to_agent()
        tunnel.exchange()
        assert not tunnel.agent.open_streams
        assert not any(isinstance(event, StreamReset) for event in tunnel.relay_events)


def confirm_all(tunnel: TunnelPair) -> set[int]:
    """Let the agent confirm each reset as it comes, until no more come."""
    confirmed: set[int] = set()
    for _ in range(100):
        tunnel.exchange()
        events, tunnel.agent_events = tunnel.agent_events, []
        for stream in [event.stream_id for event in events if isinstance(event, StreamReset)]:
            tunnel.agent.confirm_reset(stream)
            confirmed.add(stream)
        tunnel.now += 1.0
        tunnel.relay.ping(now=tunnel.now)
    return confirmed


class TestLimits:
    def test_no_more_streams_than_the_peer_allows(self) -> None:
        tunnel = TunnelPair.introduced(Limits(max_streams=2))
        room = [tunnel.relay.has_room]
        streams = [tunnel.open() for _ in range(2)]
        room.append(tunnel.relay.has_room)
        with pytest.raises(QuotaExceededError):
            tunnel.relay.open_stream(GET_PROJECTS, now=0)
        tunnel.agent.send_head(streams[0], OK, end_stream=True)
        tunnel.exchange()
        room.append(tunnel.relay.has_room)
        assert room == [True, False, True]
        tunnel.open()

    def test_stream_ids_run_out_in_the_end(self, tunnel: TunnelPair) -> None:
        tunnel.relay._outbox.next_id = 2**32 - 1
        tunnel.open()
        with pytest.raises(TunnelClosedError):
            tunnel.relay.open_stream(GET_PROJECTS, now=0)

    def test_many_cancels_go_out_little_by_little(self, tunnel: TunnelPair) -> None:
        streams = [tunnel.open(end_stream=False) for _ in range(300)]
        for stream in streams:
            tunnel.relay.reset_stream(stream, ResetCode.CANCEL, now=tunnel.now)
            tunnel.relay.reset_stream(stream, ResetCode.CANCEL, now=tunnel.now)
        assert confirm_all(tunnel) == set(streams)
        assert not tunnel.relay.open_streams

    def test_stream_whose_cancel_waits_sends_nothing_and_drops_what_comes(
        self, tunnel: TunnelPair
    ) -> None:
        streams = [tunnel.open(end_stream=False) for _ in range(200)]
        last = streams[-1]
        tunnel.relay.send_data(last, b"x", end_stream=True)
        for stream in streams:
            tunnel.relay.reset_stream(stream, ResetCode.CANCEL, now=tunnel.now)
        with pytest.raises(LocalProtocolError):
            tunnel.relay.send_data(streams[-2], b"x")
        tunnel.agent.send_head(last, OK)
        for _ in range(20):
            tunnel.agent.send_data(last, b"x" * 65_536)
            tunnel.exchange()
        assert not body_of(tunnel.agent_events, last)
        assert not body_of(tunnel.relay_events, last)
        tunnel.agent.reset_stream(last, ResetCode.INTERNAL, now=tunnel.now)
        tunnel.agent.send_head(streams[-2], OK, end_stream=True)
        tunnel.exchange()
        assert tunnel.relay_events[-1] == StreamReset(stream_id=last, code=ResetCode.INTERNAL)
        tunnel.relay.confirm_reset(last)
        confirm_all(tunnel)
        assert not tunnel.relay.open_streams


class TestDrain:
    def test_side_that_drains_refuses_streams_and_finishes_the_others(
        self, tunnel: TunnelPair
    ) -> None:
        stream = tunnel.open()
        crossing = tunnel.relay.open_stream(GET_PROJECTS, now=0, end_stream=True)
        tunnel.agent.go_away(code=GoAwayCode.RESTART, reconnect_window_ms=5, reason="update")
        tunnel.exchange()
        assert tunnel.relay_events == [
            GoAwayReceived(code=GoAwayCode.RESTART, reconnect_window_ms=5, reason="update"),
            StreamReset(stream_id=crossing, code=ResetCode.REFUSED),
        ]
        assert tunnel.agent.draining
        assert tunnel.relay.peer_draining
        for side in (tunnel.agent, tunnel.relay):
            with pytest.raises(TunnelClosedError):
                side.open_stream(GET_PROJECTS, now=0)
        tunnel.relay.confirm_reset(crossing)
        tunnel.agent.send_head(stream, OK, end_stream=True)
        tunnel.exchange()
        assert not tunnel.agent.open_streams

    def test_refused_upload_is_dropped(self, tunnel: TunnelPair) -> None:
        crossing = tunnel.relay.open_stream(GET_PROJECTS, now=0)
        tunnel.relay.send_data(crossing, b"x" * 100)
        tunnel.agent.go_away()
        tunnel.exchange()
        assert not body_of(tunnel.agent_events, crossing)

    def test_requests_that_no_message_took_are_known(self, tunnel: TunnelPair) -> None:
        sent = tunnel.open()
        unsent = tunnel.relay.open_stream(GET_PROJECTS, now=0)
        tunnel.relay.ping(now=0)
        tunnel.agent.send_head(sent, OK)
        assert tunnel.relay.unsent_requests() == {unsent}
        assert tunnel.agent.unsent_requests() == frozenset()


class TestMisuse:
    def test_stream_before_the_peers_settings(self) -> None:
        with pytest.raises(LocalProtocolError, match="SETTINGS"):
            Multiplexer(Role.RELAY).open_stream(GET_PROJECTS, now=0)

    def test_two_heads(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open()
        tunnel.agent.send_head(stream, OK)
        with pytest.raises(LocalProtocolError, match="second head"):
            tunnel.agent.send_head(stream, OK)

    def test_answer_to_an_own_stream(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open(end_stream=False)
        with pytest.raises(LocalProtocolError):
            tunnel.relay.send_head(stream, OK)
        with pytest.raises(LocalProtocolError, match="trailers"):
            tunnel.relay.send_trailers(stream, Trailers())
        with pytest.raises(LocalProtocolError, match="ours"):
            tunnel.relay.stop_receiving(stream)

    def test_body_or_trailers_before_the_head(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open()
        with pytest.raises(LocalProtocolError, match="before the response head"):
            tunnel.agent.send_data(stream, b"x")
        with pytest.raises(LocalProtocolError, match="without a response head"):
            tunnel.agent.send_trailers(stream, Trailers())

    def test_body_behind_the_end(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open()
        with pytest.raises(LocalProtocolError, match="ended"):
            tunnel.relay.send_data(stream, b"x")

    def test_left_without_an_end(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open(end_stream=False)
        with pytest.raises(LocalProtocolError, match="END_STREAM"):
            tunnel.agent.stop_receiving(stream)

    def test_confirmation_of_nothing(self, tunnel: TunnelPair) -> None:
        stream = tunnel.open()
        with pytest.raises(LocalProtocolError):
            tunnel.agent.confirm_reset(stream)
        with pytest.raises(LocalProtocolError, match="no reset"):
            tunnel.agent.confirm_reset(99)

    def test_more_consumed_than_received(self, tunnel: TunnelPair) -> None:
        with pytest.raises(LocalProtocolError):
            tunnel.agent.consume(tunnel.open(end_stream=False), 1, now=0)
