"""A store as large as a big company's: what pages must stay quick and small with."""

import random
import time
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import insert

from cloud_connect_relay.ids import ALPHABET
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.datasources import DataSourceDetails, DataSourceStatus
from cloud_connect_relay.storage.tables import calls, connectors

__all__ = ["CALLS", "CONNECTORS", "fill"]

CONNECTORS: Final = 1_000
CALLS: Final = 100_000
_SOURCES: Final = 100
_BATCH: Final = 5_000  # rows of one statement
_SPAN: Final = 6 * 86_400.0  # seconds that the calls lie in: within the time that they are kept
_ENDS: Final = (  # of calls: state, outcome, status, code, and how many of a hundred end so
    ("completed", "completed", 200, None, 93),
    ("not_executed", "not_executed", 429, "rate_limited", 3),
    ("not_executed", "not_executed", 503, "connector_offline", 3),
    ("unknown", "unknown", 504, "deadline_exceeded", 1),
)
_REPORT: Final = {
    "procore": [
        {"environment": "production", "account": "service", "state": "ready", "companies": [4242]},
        {"environment": "sandbox", "account": "service", "state": "ready", "companies": [4242]},
    ],
    "policy": {"class": "read-write", "summary": ["reads everything", "writes punch items"]},
}


async def fill(
    storage: Storage,
    subscription_id: str,
    *,
    connectors_count: int,
    calls_count: int,
    seed: int = 1,
) -> None:
    """Put connectors, data sources and calls of a week into a store.

    The newest call has just ended, so that lists and figures of the last minutes have something
    to show, too.
    """
    drawn = random.Random(seed)
    ids = [_id("con", drawn) for _ in range(connectors_count)]
    await _insert(
        storage, connectors, _connectors(subscription_id, ids, at=time.time(), drawn=drawn)
    )
    sources = []
    for number in range(_SOURCES):
        details = DataSourceDetails(
            title=f"Procore of branch {number:03}",
            type="procore",
            settings={"companyId": "4242", "environment": "production"},
            use_connector=True,
            connector_ids=(ids[number % len(ids)],),
            connector_group=None,
            security={},
        )
        made = await storage.of(subscription_id).datasources.create(
            details, status=DataSourceStatus.READY, message="", actor="test", at=time.time()
        )
        sources.append(made.id)
    rows = _calls(subscription_id, ids, sources, count=calls_count, now=time.time(), drawn=drawn)
    await _insert(storage, calls, rows)


def _connectors(
    subscription_id: str, ids: list[str], *, at: float, drawn: random.Random
) -> Iterator[dict[str, Any]]:
    for number, connector_id in enumerate(ids):
        yield {
            "id": connector_id,
            "subscription_id": subscription_id,
            "name": f"site office {number:04}",
            "machine": f"PC-{number:04}",
            "os": drawn.choice(("Windows 11", "Windows Server 2022", "Debian 12")),
            "version": drawn.choice(("0.1.0", "0.0.9")),
            "group": f"region {number % 12}" if number % 3 == 0 else None,
            "status_flag": "draining" if number % 50 == 0 else "active",
            "public_key": drawn.randbytes(32),
            "key_id": _id("key", drawn),
            "generation": 1,
            "enrolled_at": at - drawn.uniform(0, 300 * 86_400),
            "last_seen_at": at - drawn.expovariate(1 / 86_400),
            "report": _REPORT,
        }


def _calls(
    subscription_id: str,
    ids: list[str],
    sources: list[str],
    *,
    count: int,
    now: float,
    drawn: random.Random,
) -> Iterator[dict[str, Any]]:
    ends = drawn.choices(_ENDS, weights=[end[-1] for end in _ENDS], k=count)
    for number, (state, outcome, status, code, _) in enumerate(ends):
        took = drawn.lognormvariate(-1.5, 0.8)  # seconds
        begin = now - _SPAN * (1 - (number + 1) / count) - took
        writes = drawn.random() < 0.2
        yield {
            "id": _id("call", drawn),
            "subscription_id": subscription_id,
            "key_id": None,
            "datasource_id": drawn.choice(sources),
            "connector_id": drawn.choice(ids),
            "operation": "records.create" if writes else "query",
            "resource": drawn.choice(("rfis", "punch_items", "projects", "vendors")),
            "idempotency_key": f"key-{number}" if writes else None,
            "state": state,
            "outcome": outcome,
            "final": True,
            "status": status,
            "code": code,
            "detail": "Procore allows no more requests for 12 s." if status == 429 else None,
            "started_at": begin,
            "dispatched_at": begin + 0.002,
            "finished_at": begin + took,
            "rows": drawn.randrange(200),
            "bytes": drawn.randrange(200_000),
            "hops": {"total": took * 1000, "agent": took * 900, "procore": took * 800},
            "holds_key": writes and state != "not_executed",
        }


def _id(prefix: str, drawn: random.Random) -> str:
    return f"{prefix}_{''.join(drawn.choices(ALPHABET, k=16))}"


async def _insert(storage: Storage, table: Any, rows: Iterator[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    async with storage.write() as connection:
        for row in rows:
            batch.append(row)
            if len(batch) == _BATCH:
                await connection.execute(insert(table), batch)
                batch.clear()
        if batch:
            await connection.execute(insert(table), batch)
