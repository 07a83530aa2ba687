from cloud_connect_relay.gateway.clones import CloneWatch


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_two_processes_that_take_turns_are_suspect_at_the_third_turn() -> None:
    watch = CloneWatch(clock=Clock())
    assert not watch.took_over("con_a", replaced="one", instance="two")
    assert not watch.took_over("con_a", replaced="two", instance="one")
    assert watch.took_over("con_a", replaced="one", instance="two")


def test_turns_over_more_than_five_minutes_are_not() -> None:
    clock = Clock()
    watch = CloneWatch(clock=clock)
    for turn in range(6):
        clock.now = turn * 200.0
        replaced, instance = ("one", "two") if turn % 2 else ("two", "one")
        assert not watch.took_over("con_a", replaced=replaced, instance=instance)


def test_process_that_crashes_again_and_again_is_not() -> None:
    watch = CloneWatch(clock=Clock())
    for turn in range(10):
        assert not watch.took_over("con_a", replaced=f"run-{turn}", instance=f"run-{turn + 1}")


def test_process_that_redials_while_its_old_link_lingers_is_not() -> None:
    watch = CloneWatch(clock=Clock())
    for _ in range(10):
        assert not watch.took_over("con_a", replaced="one", instance="one")


def test_connectors_are_watched_apart_and_can_be_forgotten() -> None:
    watch = CloneWatch(clock=Clock())
    watch.took_over("con_a", replaced="one", instance="two")
    watch.took_over("con_a", replaced="two", instance="one")
    assert not watch.took_over("con_b", replaced="one", instance="two")
    watch.forget("con_a")
    watch.forget("con_a")
    assert not watch.took_over("con_a", replaced="one", instance="two")


def test_memory_is_bounded() -> None:
    watch = CloneWatch(clock=Clock())
    for number in range(10_050):
        watch.took_over(f"con_{number}", replaced="one", instance="two")
    assert len(watch._takeovers) == 10_000
