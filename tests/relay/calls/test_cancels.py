import pytest

from cloud_connect_relay.calls import cancels as module
from cloud_connect_relay.calls.cancels import Cancels
from cloud_connect_relay.calls.over_quota import OverQuotaError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cancels(clock: Clock) -> Cancels:
    return Cancels(burst=10, clock=clock)


def storm(cancels: Cancels, caller: str, *, begun: int, abandoned: int) -> None:
    for _ in range(begun):
        cancels.check(caller)
        cancels.opened(caller)
    for _ in range(abandoned):
        cancels.cancelled(caller)


def test_caller_that_abandons_most_calls_is_refused_and_told_when_to_return(
    cancels: Cancels,
) -> None:
    storm(cancels, "key_a", begun=20, abandoned=11)
    with pytest.raises(OverQuotaError, match="rate_abuse") as caught:
        cancels.check("key_a")
    assert (caught.value.status, caught.value.limit) == (429, "rate_abuse")
    assert caught.value.retry_after == 10


def test_other_callers_go_on(cancels: Cancels) -> None:
    storm(cancels, "key_a", begun=20, abandoned=11)
    cancels.check("key_b")


@pytest.mark.parametrize(("begun", "abandoned"), [(20, 10), (24, 12), (1000, 500)])
def test_caller_that_abandons_few_or_less_than_half_goes_on(
    cancels: Cancels, begun: int, abandoned: int
) -> None:
    storm(cancels, "key_a", begun=begun, abandoned=abandoned)
    cancels.check("key_a")


def test_caller_may_begin_again_after_the_period(cancels: Cancels, clock: Clock) -> None:
    storm(cancels, "key_a", begun=20, abandoned=20)
    for _ in range(2):
        with pytest.raises(OverQuotaError):
            cancels.check("key_a")
    clock.now += 11
    cancels.check("key_a")


def test_no_more_callers_are_watched_than_fit(
    cancels: Cancels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_CALLERS", 3)
    storm(cancels, "key_a", begun=20, abandoned=20)
    with pytest.raises(OverQuotaError):
        cancels.check("key_a")
    for number in range(3):
        storm(cancels, f"token_{number}", begun=1, abandoned=1)
    assert set(cancels._guards) == {"token_0", "token_1", "token_2"}
    assert not cancels._refused
    cancels.cancelled("key_a")  # of a call that began before
    cancels.check("key_a")
