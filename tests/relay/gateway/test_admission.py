import math
import random
from dataclasses import dataclass, field

import pytest

from cloud_connect_relay.gateway.admission import Admission


@dataclass(eq=False)
class Socket:
    aborted: bool = False

    def abort(self) -> None:
        self.aborted = True


@dataclass
class Clock:
    now: float = 0.0
    calls: int = field(default=0)

    def __call__(self) -> float:
        self.calls += 1
        return self.now


def admission(
    clock: Clock, *, most: int = 3, per_source: int | None = 2, rate: float = 5
) -> Admission:
    return Admission(
        max_pending=most,
        max_pending_per_source=per_source,
        handshakes_per_second=rate,
        clock=clock,
    )


def test_one_source_cannot_take_all_places() -> None:
    admit = admission(Clock())
    assert admit.admit(Socket(), source="a")
    assert admit.admit(Socket(), source="a")
    assert not admit.admit(Socket(), source="a")
    assert admit.admit(Socket(), source="b")
    assert admit.pending == 3


def test_newcomer_takes_the_place_of_the_address_that_has_most() -> None:
    admit = admission(Clock(), per_source=None)
    many = [Socket() for _ in range(3)]
    assert all(admit.admit(socket, source="many") for socket in many)
    one, two = Socket(), Socket()
    assert admit.admit(one, source="one")
    assert [socket.aborted for socket in many] == [True, False, False]
    assert admit.admit(two, source="two")
    assert [socket.aborted for socket in many] == [True, True, False]
    assert not admit.admit(Socket(), source="three")
    assert not admit.admit(Socket(), source="many")
    assert not any(socket.aborted for socket in (one, two))


def test_node_has_a_limit_of_its_own() -> None:
    admit = admission(Clock())
    assert [admit.admit(Socket(), source=source) for source in "abcd"] == [True, True, True, False]


def test_socket_that_had_its_chance_makes_room_for_a_newcomer() -> None:
    clock = Clock()
    admit = admission(clock)
    idle, second, third = Socket(), Socket(), Socket()
    admit.admit(idle, source="a")
    clock.now = 0.9
    admit.admit(second, source="a")
    assert not admit.admit(third, source="a")
    clock.now = 1.0
    assert admit.admit(third, source="a")
    assert idle.aborted
    assert not second.aborted
    assert admit.pending == 2


def test_oldest_of_the_node_makes_room_for_another_source() -> None:
    clock = Clock()
    admit = admission(clock)
    sockets = [Socket() for _ in range(3)]
    for socket, source in zip(sockets, "abc", strict=True):
        admit.admit(socket, source=source)
    clock.now = 2.0
    assert admit.admit(Socket(), source="d")
    assert [socket.aborted for socket in sockets] == [True, False, False]


def test_released_sockets_free_their_places_once() -> None:
    admit = admission(Clock())
    socket = Socket()
    admit.admit(socket, source="a")
    admit.release(socket)
    admit.release(socket)
    assert admit.pending == 0
    assert admit.admit(Socket(), source="a")
    assert admit.admit(Socket(), source="a")


def test_sources_are_not_told_apart_behind_a_proxy() -> None:
    admit = admission(Clock(), per_source=None)
    assert all(admit.admit(Socket(), source="proxy") for _ in range(3))
    assert not admit.admit(Socket(), source="proxy")


def test_handshakes_of_a_second_are_limited_and_the_rest_told_when() -> None:
    clock = Clock()
    admit = admission(clock, rate=50)
    assert [admit.begin_handshake() for _ in range(50)] == [None] * 50
    delay = admit.begin_handshake()
    assert delay is not None
    assert 0 < delay <= 0.2
    clock.now = 0.9
    assert admit.begin_handshake() is not None
    clock.now = 1.0
    assert [admit.begin_handshake() for _ in range(51)].count(None) == 50


def test_a_rate_below_one_leaves_its_time_between_two() -> None:
    clock = Clock()
    admit = admission(clock, rate=0.5)
    assert admit.begin_handshake() is None
    clock.now = 1.5
    assert admit.begin_handshake() is not None
    clock.now = 2.0
    assert admit.begin_handshake() is None


def test_no_second_has_more_than_its_handshakes_whenever_a_herd_comes() -> None:
    clock, dice = Clock(), random.Random(7)
    admit = admission(clock, rate=200)
    clock.now = 30.0  # after a quiet time
    begun = []
    while clock.now < 36.0:
        begun += [clock.now] * [admit.begin_handshake() for _ in range(50)].count(None)
        clock.now += dice.choice((0.001, 0.05, 0.4))
    assert all(sum(at <= one < at + 1 for one in begun) <= 200 for at in begun)


def test_herd_that_comes_back_in_bunches_is_let_in_without_another_round() -> None:
    clock = Clock()
    admit = admission(clock, rate=200)
    due: dict[int, int] = {}  # second → agents, who all come in its first quarter
    coming, refused, seconds = 2000, 0, 0
    while coming or due:
        clock.now = float(seconds)
        for _ in range(coming or due.pop(seconds, 0)):
            delay = admit.begin_handshake()
            if delay is not None:
                refused += 1
                back = seconds + math.ceil(delay)
                due[back] = due.get(back, 0) + 1
            clock.now += 0.001 if not coming else 0.0
        coming, seconds = 0, seconds + 1
    assert refused <= 2000
    assert seconds <= 12


def test_herd_is_sent_away_as_a_queue() -> None:
    clock = Clock()
    admit = admission(clock, rate=5)
    delays = [admit.begin_handshake() or 0.0 for _ in range(1000)]
    assert delays[:5] == [0.0] * 5
    assert delays[5:105] == pytest.approx([turn / 5 for turn in range(1, 101)])
    assert max(delays) == 60.0
    clock.now = 61.0
    admit.begin_handshake()
    assert all((admit.begin_handshake() or 0.0) < 1.1 for _ in range(5))
