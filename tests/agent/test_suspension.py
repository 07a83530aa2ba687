import asyncio

from cloud_connect_agent.suspension import boot_clock, suspended, tell_of_sleep


async def test_sleep_is_what_one_clock_missed() -> None:
    boot = iter([100.0, 101.0, 5101.0])
    awake = iter([50.0, 51.0, 52.0])
    slept = await suspended(boot=lambda: next(boot), awake=lambda: next(awake), tick=0.0)
    assert slept == 4999.0


async def test_naps_of_seconds_do_not_add_up() -> None:
    gaps = [0.0, 9.0, 18.0, 27.0, 40.0]
    boot = iter(gaps)
    slept = await suspended(boot=lambda: next(boot), awake=lambda: 0.0, tick=0.0)
    assert slept == 13.0


async def test_machine_that_is_awake_is_not_noticed() -> None:
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(suspended(tick=0.001))
        await asyncio.sleep(0.05)
        assert not watching.done()
        watching.cancel()


def test_boot_clock_goes_on() -> None:
    first = boot_clock()
    assert boot_clock() >= first


async def test_each_sleep_is_told() -> None:
    slept = asyncio.Queue[float]()
    told: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(tell_of_sleep(told.append, sleeping=slept.get))
        for seconds in (20.0, 30.0):
            slept.put_nowait(seconds)
            await asyncio.sleep(0.01)
        telling.cancel()
    assert told == [20.0, 30.0]
