from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cloud_connect_relay.calls.fair_queue import FairQueue, Urgency

ROOM = 64
ROOM_BYTES = 1_000_000


def queue(*, max_calls: int = ROOM, max_bytes: int = ROOM_BYTES) -> FairQueue[str]:
    return FairQueue(max_calls=max_calls, max_bytes=max_bytes)


def add(
    line: FairQueue[str],
    item: str,
    *,
    tenant: str = "t",
    key: str = "k",
    size: int = 0,
    urgency: Urgency = Urgency.PERSON,
) -> int | None:
    return line.add(item, tenant=tenant, key=key, size=size, urgency=urgency)


def displaced(
    line: FairQueue[str], *, tenant: str = "t", key: str, size: int = 0
) -> list[str] | None:
    return line.make_room(size, Urgency.PERSON, tenant=tenant, key=key)


def drained(line: FairQueue[str]) -> list[str]:
    found = []
    while (item := line.take()) is not None:
        found.append(item)
    return found


def test_one_key_is_served_in_order_of_arrival() -> None:
    line = queue()
    for number in range(9):
        add(line, str(number))
    assert drained(line) == [str(number) for number in range(9)]


def test_newcomer_waits_for_one_turn_of_each_other_key() -> None:
    line = queue()
    for number in range(40):
        add(line, f"noisy{number}", key="noisy")
    add(line, "quiet", key="quiet")
    assert "quiet" in [line.take() for _ in range(2)]


def test_subscription_with_many_keys_gets_no_more_than_another() -> None:
    line = queue()
    for number in range(30):
        add(line, "many", tenant="many", key=f"k{number}")
        add(line, "one", tenant="one")
    assert Counter(line.take() for _ in range(20)) == {"many": 10, "one": 10}


def test_long_bodies_take_more_of_a_turn() -> None:
    line = queue(max_bytes=10**9)
    for _ in range(20):
        add(line, "long", key="long", size=3 * 64 * 1024)
        add(line, "short", key="short")
    first = Counter(line.take() for _ in range(20))
    assert first["short"] >= 3 * first["long"]
    assert first["long"] >= 4


def test_tests_pass_people_and_people_pass_bulk_of_the_same_key() -> None:
    line = queue()
    add(line, "bulk", urgency=Urgency.BULK)
    add(line, "person")
    add(line, "test", urgency=Urgency.TEST)
    assert line.take(Urgency.TEST) == "test"
    assert line.take(Urgency.TEST) is None
    assert drained(line) == ["person", "bulk"]


def test_last_places_are_kept_for_the_urgent() -> None:
    line = queue(max_calls=32)
    added = [add(line, "bulk", urgency=Urgency.BULK) for _ in range(40)]
    assert sum(number is not None for number in added) == 28
    added = [add(line, "person") for _ in range(40)]
    assert sum(number is not None for number in added) == 2
    added = [add(line, "test", urgency=Urgency.TEST) for _ in range(40)]
    assert sum(number is not None for number in added) == 2
    assert len(line) == 32


def test_bytes_are_bounded_by_the_limit_and_one_message() -> None:
    line = queue(max_bytes=1000)
    assert add(line, "huge", size=5000) is not None
    assert add(line, "small", size=1) is None
    assert line.take() == "huge"
    assert add(line, "half", size=600) is not None
    assert add(line, "half", size=600) is None
    assert add(line, "rest", size=400) is not None
    assert line.bytes == 1000


def test_full_queue_gives_a_quiet_key_the_newest_place_of_the_noisiest() -> None:
    line = queue(max_calls=8)
    for number in range(8):
        add(line, f"noisy{number}", key="noisy")
    assert add(line, "quiet", key="quiet") is None
    assert not line.may_displace(0, Urgency.PERSON, tenant="t", key="noisy")
    assert displaced(line, key="noisy") is None
    assert displaced(line, key="quiet") == ["noisy7"]
    assert add(line, "quiet", key="quiet") is not None
    for _ in range(2):
        assert displaced(line, key="quiet") is not None
        add(line, "quiet", key="quiet")
    for _ in range(2):
        assert displaced(line, tenant="u", key="quiet") is not None
        add(line, "other", tenant="u", key="quiet")
    assert sorted(drained(line)) == [
        "noisy0",
        "noisy1",
        "noisy2",
        "other",
        "other",
        "quiet",
        "quiet",
        "quiet",
    ]


def test_one_who_waits_with_many_calls_and_no_bytes_makes_no_room_for_a_body() -> None:
    line = queue(max_calls=1000, max_bytes=1600)
    for number in range(16):
        add(line, f"long{number}", key="long", size=100)
    for number in range(200):
        add(line, f"short{number}", key="short")
    assert displaced(line, key="new", size=150) == ["long15", "long14"]
    assert displaced(line, key="long", size=300) is None
    assert displaced(line, tenant="other", key="k", size=10_000) is None
    assert len(line) == 214
    assert line.bytes == 1400
    assert displaced(line, key="new", size=0) == []


def test_nobody_displaces_another_who_waits_with_hardly_more() -> None:
    line = queue(max_calls=4)
    assert not line.may_displace(0, Urgency.PERSON, tenant="t", key="k")
    for number in range(4):
        add(line, "item", key="ab"[number % 2])
    assert displaced(line, key="a") is None
    assert displaced(line, key="c") is not None
    add(line, "item", key="c")
    assert displaced(line, key="d") is not None


def test_nobody_is_displaced_for_one_who_would_find_no_room_all_the_same() -> None:
    line = queue(max_calls=8, max_bytes=1000)
    for number in range(6):
        add(line, f"noisy{number}", key="noisy", size=100)
    add(line, "long", key="other", size=300)
    assert displaced(line, key="quiet", size=2000) is None
    assert displaced(line, key="quiet", size=550) is None
    assert (len(line), line.bytes) == (7, 900)
    assert displaced(line, key="quiet", size=300) == ["noisy5", "noisy4"]


class Machine(RuleBasedStateMachine):
    """Whatever is added, taken and removed: nothing is lost, doubled or served unfairly."""

    def __init__(self) -> None:
        super().__init__()
        self.line = queue()
        self.inside: dict[int, tuple[str, str, str, int]] = {}
        self.served: Counter[tuple[str, str]] = Counter()
        self.names = 0

    @rule(
        tenant=st.sampled_from("ab"),
        key=st.sampled_from("xyz"),
        size=st.integers(0, 300_000),
        urgency=st.sampled_from(Urgency),
    )
    def put(self, tenant: str, key: str, size: int, urgency: Urgency) -> None:
        self.names += 1
        name = f"{self.names}"
        room = len(self.inside) < ROOM - (ROOM // 16) * urgency
        fits = self.line.bytes + size <= ROOM_BYTES or not self.inside
        number = add(self.line, name, tenant=tenant, key=key, size=size, urgency=urgency)
        assert (number is not None) == (room and fits)
        if number is not None:
            self.inside[number] = (name, tenant, key, size)

    @rule(least=st.sampled_from(Urgency))
    def get(self, least: Urgency) -> None:
        name = self.line.take(least)
        numbers = [number for number, one in self.inside.items() if one[0] == name]
        assert len(numbers) == (0 if name is None else 1)
        for number in numbers:
            del self.inside[number]
        if least is Urgency.BULK:
            assert name is not None or not self.inside

    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        if self.inside:
            number = data.draw(st.sampled_from(sorted(self.inside)))
            self.line.remove(number)
            self.line.remove(number)
            del self.inside[number]

    @invariant()
    def counts_what_is_inside(self) -> None:
        assert len(self.line) == len(self.inside)
        assert self.line.bytes == sum(one[3] for one in self.inside.values())


TestMachine = Machine.TestCase


@given(
    loads=st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")),
        st.integers(1, 20),
        min_size=1,
    )
)
def test_every_key_gets_its_share_while_it_waits(loads: dict[tuple[str, str], int]) -> None:
    line = queue(max_calls=1000)
    for (tenant, key), count in loads.items():
        for _ in range(count):
            add(line, f"{tenant}/{key}", tenant=tenant, key=key)
    left = Counter({f"{tenant}/{key}": count for (tenant, key), count in loads.items()})
    while left:
        tenants = Counter(name[0] for name in left)
        taken = [line.take() for _ in range(len(tenants))]
        assert all(name is not None for name in taken)
        # All subscriptions that wait are served once before any is served twice, but for the
        # one whose credit was left from the round before.
        assert len({str(name)[0] for name in taken}) >= len(tenants) - 1
        for name in taken:
            left[str(name)] -= 1
        left = +left
    assert line.take() is None
