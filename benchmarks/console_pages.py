"""How long the console's pages take with 1,000 connectors and 100,000 calls.

``PYTHONPATH=tests python benchmarks/console_pages.py`` fills a store, starts a relay on it as a
process of its own, signs in and asks for each page; times are those of whole answers over loopback.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from cloud_connect_relay.console.navigation import AREAS
from doubles.large_store import CALLS, CONNECTORS, fill
from doubles.program import running_relay
from doubles.relay_node import PASSWORD, founded

GOAL_MS = 300
ROUNDS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One page."""

    path: str
    best_ms: float
    median_ms: float
    size_bytes: int


async def measure(client: httpx.AsyncClient, path: str, *, rounds: int) -> Row:
    taken: list[float] = []
    for _ in range(rounds):
        begin = time.perf_counter()
        answer = await client.get(path, headers={"Accept": "text/html"})
        taken.append((time.perf_counter() - begin) * 1000)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
    return Row(
        path=path,
        best_ms=min(taken),
        median_ms=statistics.median(taken),
        size_bytes=len(answer.content),
    )


async def run(paths: list[str], *, connectors: int, calls: int, rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with founded(folder / "relay") as store:
            await fill(
                store.storage,
                store.subscription_id,
                connectors_count=connectors,
                calls_count=calls,
            )
        async with (
            running_relay(folder / "relay", log=folder / "relay.log") as relay,
            httpx.AsyncClient(
                base_url=relay.ready["api_url"], timeout=60, trust_env=False
            ) as client,
        ):
            form = {"username": "admin", "password": PASSWORD, "next": ""}
            signed_in = await client.post("/console/sign-in", data=form)
            assert signed_in.status_code == 303, signed_in.status_code
            return [await measure(client, path, rounds=rounds) for path in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="such as /console/calls")
    parser.add_argument("--connectors", type=int, default=CONNECTORS)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    rows = asyncio.run(
        run(
            chosen.paths or [f"/console{area.path}" for area in AREAS],
            connectors=chosen.connectors,
            calls=chosen.calls,
            rounds=chosen.rounds,
        )
    )
    print(f"{'page':44}{'best ms':>10}{'median ms':>12}{'KB':>8}  goal: best under {GOAL_MS} ms")
    for row in rows:
        verdict = "" if row.best_ms < GOAL_MS else "  too slow"
        print(
            f"{row.path:44}{row.best_ms:>10.1f}{row.median_ms:>12.1f}"
            f"{row.size_bytes / 1000:>8.1f}{verdict}"
        )


if __name__ == "__main__":
    main()
