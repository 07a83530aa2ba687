"""Writes whose caller hangs up at the worst moment: none holds its key for nothing."""

import asyncio
import random

import httpx

from doubles.call_relay import CallRelay

MOMENTS = 60
LONGEST = 0.03  # seconds: about what a write takes


async def hung_up(relay: CallRelay, base: str, key: str, after: float) -> None:
    try:
        async with asyncio.timeout(after):
            await create(relay, base, key)
    except TimeoutError:
        pass


async def create(relay: CallRelay, base: str, key: str) -> httpx.Response:
    return await relay.api.post(
        f"{base}/records/rfis",
        headers={"Idempotency-Key": key},
        json={"name": key},
    )


async def test_key_of_a_caller_who_hung_up_at_any_moment_is_free_or_answered(
    relay: CallRelay,
) -> None:
    _, base = await relay.ready()
    dice = random.Random(5)
    keys = [f"key-{number}" for number in range(MOMENTS)]
    for key in keys:
        await hung_up(relay, base, key, dice.random() * LONGEST)
    async with asyncio.timeout(10):
        for key in keys:
            while (answer := await create(relay, base, key)).status_code == 409:
                await asyncio.sleep(0.05)
            assert answer.status_code == 201
