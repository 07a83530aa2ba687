"""Two multiplexers whose messages are handed over by hand."""

from dataclasses import dataclass, field

from cloud_connect.tunnel import (
    DataReceived,
    Event,
    Limits,
    Multiplexer,
    RequestHead,
    ResponseHead,
    Role,
)

__all__ = ["GET_PROJECTS", "OK", "TunnelPair", "body_of"]

GET_PROJECTS = RequestHead(operation="records.list", call_id="call_1", deadline_ms=30_000)
OK = ResponseHead(status=200)


@dataclass
class TunnelPair:
    """A relay and an agent, and what each of them reported.

    Attributes:
        now: The time that both are told.
    """

    limits: Limits = field(default_factory=Limits)
    relay: Multiplexer = field(init=False)
    agent: Multiplexer = field(init=False)
    relay_events: list[Event] = field(default_factory=list)
    agent_events: list[Event] = field(default_factory=list)
    now: float = 100.0

    def __post_init__(self) -> None:
        self.relay = Multiplexer(Role.RELAY, self.limits)
        self.agent = Multiplexer(Role.AGENT, self.limits)

    @classmethod
    def introduced(cls, limits: Limits | None = None) -> "TunnelPair":
        """Return a pair that has exchanged its SETTINGS and reports from here on."""
        pair = cls(limits or Limits())
        pair.exchange()
        pair.relay_events.clear()
        pair.agent_events.clear()
        return pair

    def exchange(self) -> None:
        """Hand messages over until neither side has one."""
        while self.to_agent() or self.to_relay():
            pass

    def to_agent(self) -> int:
        """Hand the relay's messages over and return how many there were."""
        messages = list(self.relay.messages_to_send())
        for message in messages:
            self.agent_events += self.agent.receive_frame(message, now=self.now)
        self.relay_events += self.relay.take_events()
        return len(messages)

    def to_relay(self) -> int:
        """Hand the agent's messages over and return how many there were."""
        messages = list(self.agent.messages_to_send())
        for message in messages:
            self.relay_events += self.relay.receive_frame(message, now=self.now)
        self.agent_events += self.agent.take_events()
        return len(messages)

    def open(self, *, end_stream: bool = True) -> int:
        """Open a stream from the relay and let the agent see it."""
        stream_id = self.relay.open_stream(GET_PROJECTS, now=self.now, end_stream=end_stream)
        self.exchange()
        return stream_id


def body_of(events: list[Event], stream_id: int) -> bytes:
    """Return the bytes of a stream among events."""
    return b"".join(
        event.data
        for event in events
        if isinstance(event, DataReceived) and event.stream_id == stream_id
    )
