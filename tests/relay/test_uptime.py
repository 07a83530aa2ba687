import pytest

from cloud_connect_relay.storage.presence import Span
from cloud_connect_relay.uptime import Uptime, uptime_of

DAY = Span(0.0, 1000.0)


@pytest.mark.parametrize(
    ("relays", "connected", "share", "known"),
    [
        ([DAY], [DAY], 1.0, 1000.0),
        ([DAY], [], 0.0, 1000.0),
        ([DAY], [Span(0.0, 250.0), Span(500.0, 750.0)], 0.5, 1000.0),
        # While no relay ran, nobody knows: that time counts neither way.
        ([Span(0.0, 400.0), Span(600.0, 700.0)], [Span(0.0, 700.0)], 1.0, 500.0),
        ([Span(0.0, 400.0), Span(600.0, 700.0)], [Span(600.0, 700.0)], 0.2, 500.0),
        # Two nodes, and two sessions of which one takes over from the other, count once.
        ([DAY, Span(100.0, 900.0)], [Span(0.0, 600.0), Span(400.0, 500.0)], 0.6, 1000.0),
        # Beyond the stretch that was asked for.
        ([Span(-500.0, 1500.0)], [Span(-500.0, 100.0), Span(900.0, 1500.0)], 0.2, 1000.0),
        ([], [DAY], None, 0.0),
        ([Span(0.0, 59.0)], [Span(0.0, 59.0)], None, 59.0),
    ],
)
def test_uptime_is_a_share_of_what_is_known(
    relays: list[Span], connected: list[Span], share: float | None, known: float
) -> None:
    found = uptime_of(relays=relays, connected=connected, since=0.0, now=1000.0)
    assert found == Uptime(share=share, known_seconds=known)
