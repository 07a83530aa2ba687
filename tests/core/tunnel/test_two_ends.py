"""Two multiplexers that talk through links which hold messages back at random."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cloud_connect.errors import QuotaExceededError, TunnelClosedError
from cloud_connect.tunnel import (
    DataReceived,
    Event,
    Limits,
    Multiplexer,
    RequestReceived,
    ResetCode,
    ResponseReceived,
    Role,
    StreamClosed,
    StreamReset,
    Trailers,
    TrailersReceived,
)
from doubles.tunnel_pair import GET_PROJECTS, OK

LIMITS = Limits(
    max_streams=5,
    stream_window_bytes=65_536,
    max_stream_window_bytes=262_144,
    session_window_bytes=65_536,
    max_session_window_bytes=524_288,
    flood_burst=10**6,
    cancel_burst=10**6,
)
SIDES = st.sampled_from([0, 1])
PICKS = st.integers(0, 10**6)


@dataclass
class Direction:
    """A body on its way: what was given to send, and what came out."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    unread: int = 0
    may_send: bool = False
    seen_end: bool = False


@dataclass
class Side:
    """One end with what a session would keep."""

    multiplexer: Multiplexer
    outgoing: deque[bytes] = field(default_factory=deque)
    unconfirmed: list[int] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    closed: set[int] = field(default_factory=set)


class TwoEnds(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sides = [
            Side(Multiplexer(Role.RELAY, LIMITS)),
            Side(Multiplexer(Role.AGENT, LIMITS)),
        ]
        self.flows: dict[tuple[int, int], Direction] = {}  # by receiving side and stream
        self.reset: set[int] = set()
        self.settle()

    # What the sides do.

    @rule(side=SIDES, end=st.booleans())
    def open(self, side: int, *, end: bool) -> None:
        here = self.sides[side]
        try:
            stream = here.multiplexer.open_stream(GET_PROJECTS, now=self.now, end_stream=end)
        except (QuotaExceededError, TunnelClosedError):
            return
        here.opened.append(stream)
        self.flows[1 - side, stream] = Direction(may_send=not end)
        self.flows[side, stream] = Direction()

    @rule(side=SIDES, pick=PICKS, size=st.sampled_from([1, 100, 5000, 70_000, 300_000]))
    def send(self, side: int, pick: int, size: int) -> None:
        flow = self.pick_flow(1 - side, pick, lambda flow: flow.may_send)
        if flow:
            stream, direction = flow
            data = bytes([pick % 256]) * size
            self.sides[side].multiplexer.send_data(stream, data)
            direction.sent += data

    @rule(side=SIDES, pick=PICKS, trailers=st.booleans())
    def end(self, side: int, pick: int, *, trailers: bool) -> None:
        flow = self.pick_flow(1 - side, pick, lambda flow: flow.may_send)
        if flow:
            stream, direction = flow
            if trailers and stream not in self.sides[side].opened:
                self.sides[side].multiplexer.send_trailers(stream, Trailers(total_items=1))
            else:
                self.sides[side].multiplexer.send_data(stream, b"", end_stream=True)
            direction.may_send = False

    @rule(side=SIDES, pick=PICKS)
    def read(self, side: int, pick: int) -> None:
        flow = self.pick_flow(side, pick, lambda flow: flow.unread > 0)
        if flow:
            stream, direction = flow
            size = max(direction.unread // 2, 1)
            self.sides[side].multiplexer.consume(stream, size, now=self.now)
            direction.unread -= size

    @rule(side=SIDES, pick=PICKS)
    def cancel(self, side: int, pick: int) -> None:
        flow = self.pick_flow(side, pick, lambda _: True)
        if flow and flow[0] not in self.sides[side].unconfirmed:
            self.abort(flow[0])
            self.sides[side].multiplexer.reset_stream(flow[0], ResetCode.CANCEL, now=self.now)

    @rule(side=SIDES)
    def confirm(self, side: int) -> None:
        here = self.sides[side]
        if here.unconfirmed:
            here.multiplexer.confirm_reset(here.unconfirmed.pop(0))

    @rule(side=SIDES)
    def ping(self, side: int) -> None:
        self.sides[side].multiplexer.ping(now=self.now)

    @rule(side=SIDES, count=st.integers(1, 3))
    def write(self, side: int, count: int) -> None:
        here = self.sides[side]
        for _, message in zip(range(count), here.multiplexer.messages_to_send(), strict=False):
            here.outgoing.append(message)
        self.take(side, here.multiplexer.take_events())

    @rule(side=SIDES)
    def deliver(self, side: int) -> None:
        if self.sides[side].outgoing:
            message = self.sides[side].outgoing.popleft()
            self.take(
                1 - side, self.sides[1 - side].multiplexer.receive_frame(message, now=self.now)
            )

    @rule(seconds=st.floats(0, 0.1))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    # What must hold.

    @invariant()
    def memory_is_bounded(self) -> None:
        for side in (0, 1):
            unread = sum(flow.unread for (to, _), flow in self.flows.items() if to == side)
            assert unread <= LIMITS.max_session_window_bytes
            assert self.sides[side].multiplexer.open_streams <= 2 * LIMITS.max_streams

    @invariant()
    def bytes_come_in_order(self) -> None:
        for flow in self.flows.values():
            assert flow.sent.startswith(flow.received)

    def teardown(self) -> None:
        for _ in range(2000):
            ends = [key for key, flow in self.flows.items() if flow.may_send]
            for side, stream in ends:
                self.sides[1 - side].multiplexer.send_data(stream, b"", end_stream=True)
                self.flows[side, stream].may_send = False
            if self.settle() and not ends:
                break
        for (side, stream), flow in list(self.flows.items()):
            if stream not in self.reset:
                assert flow.received == flow.sent
                assert flow.seen_end, (side, stream)
        assert [side.multiplexer.open_streams for side in self.sides] == [0, 0]

    # How it is done.

    def settle(self) -> bool:
        """Let everything that is under way arrive; return whether nothing was."""
        idle = True
        for side, here in enumerate(self.sides):
            self.write(side=side, count=100)
            idle &= not here.outgoing and not here.unconfirmed
            while here.outgoing:
                self.deliver(side=side)
            while here.unconfirmed:
                self.confirm(side=side)
            for (to, stream), flow in list(self.flows.items()):
                if to == side and flow.unread:
                    here.multiplexer.consume(stream, flow.unread, now=self.now)
                    flow.unread = 0
                    idle = False
                if to != side and flow.may_send and stream in self.reset:
                    flow.may_send = False
        return idle

    def pick_flow(
        self, to: int, pick: int, wanted: Callable[[Direction], bool]
    ) -> tuple[int, Direction] | None:
        flows = [(s, f) for (side, s), f in self.flows.items() if side == to and wanted(f)]
        return flows[pick % len(flows)] if flows else None

    def abort(self, stream: int) -> None:
        self.reset.add(stream)
        for side in (0, 1):
            self.flows[side, stream].may_send = False

    def take(self, side: int, events: list[Event]) -> None:
        here = self.sides[side]
        for event in events:
            match event:
                case RequestReceived(stream_id=stream, end_stream=end):
                    self.flows[side, stream].seen_end = end
                    if stream not in self.reset:
                        here.multiplexer.send_head(stream, OK)
                        self.flows[1 - side, stream].may_send = True
                    else:
                        here.multiplexer.reset_stream(stream, ResetCode.CANCEL, now=self.now)
                case ResponseReceived(stream_id=stream, end_stream=end):
                    self.flows[side, stream].seen_end = end
                case DataReceived(stream_id=stream, data=data, end_stream=end):
                    flow = self.flows[side, stream]
                    flow.received += data
                    flow.unread += len(data)
                    flow.seen_end = end
                case TrailersReceived(stream_id=stream):
                    self.flows[side, stream].seen_end = True
                case StreamReset(stream_id=stream):
                    assert stream in self.reset
                    here.unconfirmed.append(stream)
                case StreamClosed(stream_id=stream):
                    assert stream not in here.closed
                    here.closed.add(stream)


TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.settings = settings(max_examples=40, stateful_step_count=60)
