from cloud_connect_relay.call_statistics import CallStatistics, LastError

ERROR = LastError(at=1.0, call_id="call_1", status=504, code="deadline_exceeded")


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_nobody_saw_is_unknown_and_not_zero() -> None:
    found = CallStatistics(clock=Time()).of("con_a")
    assert found.calls == 0
    assert found.calls_per_minute is None
    assert found.error_rate is None
    assert found.latency_p50_ms is None
    assert found.latency_p95_ms is None
    assert found.last_error is None


def test_connector_without_calls_has_a_rate_once_it_was_watched_for_a_while() -> None:
    time = Time()
    statistics = CallStatistics(clock=time)
    time.now += 59
    assert statistics.of("con_a").calls_per_minute is None
    time.now += 1
    assert statistics.of("con_a").calls_per_minute == 0.0
    assert statistics.of("con_a").error_rate is None


def test_calls_are_counted_by_connector() -> None:
    time = Time()
    statistics = CallStatistics(clock=time)
    for number in range(100):
        statistics.note("con_a", number / 1000, error=ERROR if number < 25 else None)
    statistics.note("con_b", 1.0)
    time.now += 120
    found = statistics.of("con_a")
    assert (found.calls, found.calls_per_minute, found.error_rate) == (100, 50.0, 0.25)
    assert (found.latency_p50_ms, found.latency_p95_ms) == (50.0, 95.0)
    assert found.last_error == ERROR
    assert found.window_seconds == 120.0
    assert statistics.of("con_b").last_error is None


def test_an_hour_later_they_are_forgotten() -> None:
    time = Time()
    statistics = CallStatistics(clock=time)
    statistics.note("con_a", 0.1, error=ERROR)
    time.now += 3540
    assert statistics.of("con_a").calls == 1
    time.now += 180
    statistics.note("con_a", 0.3)
    found = statistics.of("con_a")
    assert (found.calls, found.error_rate, found.latency_p50_ms) == (1, 0.0, 300.0)
    assert found.window_seconds == 3600.0
    assert found.last_error == ERROR  # the last one there was, and when


def test_latencies_are_those_of_the_newest_calls() -> None:
    statistics = CallStatistics(clock=Time())
    for _ in range(300):
        statistics.note("con_a", 9.0)
    for _ in range(256):
        statistics.note("con_a", 0.002)
    found = statistics.of("con_a")
    assert (found.calls, found.latency_p50_ms, found.latency_p95_ms) == (556, 2.0, 2.0)
