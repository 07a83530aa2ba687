from cloud_connect_relay.call_figures import MINUTES, CallFigures

HOPS = {
    "relay": 100.0,
    "queue": 2.0,
    "record": 3.0,
    "tunnel": 5.0,
    "agent": 80.0,
    "journal": 4.0,
    "limit": 10.0,
    "procore": 50.0,
    "body": 6.0,
}


class Time:
    now = 6000.0

    def __call__(self) -> float:
        return self.now


def noted(figures: CallFigures, *, failed: bool = False, unknown: bool = False) -> None:
    figures.note("sub_a", HOPS, failed=failed, unknown=unknown)


def test_minutes_before_this_relay_ran_are_unknown_and_not_zero() -> None:
    found = CallFigures(clock=Time()).of("sub_a")
    assert len(found) == MINUTES
    assert found[:-1] == [None] * (MINUTES - 1)
    assert found[-1] is not None
    assert found[-1].calls == 0


def test_calls_are_counted_in_the_minute_in_which_they_end() -> None:
    time = Time()
    figures = CallFigures(clock=time)
    noted(figures)
    noted(figures, failed=True, unknown=True)
    time.now += 60
    noted(figures)
    before, last = figures.of("sub_a")[-2:]
    assert before is not None
    assert last is not None
    assert (before.calls, before.failed, before.unknown) == (2, 1, 1)
    assert (last.calls, last.failed, last.unknown) == (1, 0, 0)


def test_each_millisecond_is_counted_in_one_hop() -> None:
    figures = CallFigures(clock=Time())
    noted(figures)
    minute = figures.of("sub_a")[-1]
    assert minute is not None
    assert minute.hops == {"relay": 5.0, "tunnel": 5.0, "pc": 14.0, "limit": 10.0, "procore": 56.0}


def test_an_hour_later_a_minute_is_forgotten() -> None:
    time = Time()
    figures = CallFigures(clock=time)
    noted(figures)
    time.now += 59 * 60
    assert sum(minute.calls for minute in figures.of("sub_a") if minute) == 1
    time.now += 60
    assert sum(minute.calls for minute in figures.of("sub_a") if minute) == 0
    assert None not in figures.of("sub_a")


def test_subscriptions_are_counted_apart() -> None:
    figures = CallFigures(clock=Time())
    noted(figures)
    assert sum(minute.calls for minute in figures.of("sub_b") if minute) == 0
