"""A platform that calls through a relay and remembers every answer that it got."""

import asyncio
import hashlib
import itertools
import random
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

import httpx

from doubles.history import Attempt, Delivery, effect_of

__all__ = ["Caller"]

PATIENCE: Final = 90.0  # seconds: longer than any deadline that a test gives

# What the simulator's blobs repeat, made here again: nothing that is judged takes part in it.
_BLOCK: Final = random.Random(20_260_101).randbytes(65_536)


class Caller:
    """Writes and reads punch items of one project, each write under a key of its own.

    Attributes:
        attempts: What was asked for and what was answered, in the order of the answers.
        deliveries: The bodies that were fetched.
    """

    def __init__(self, api: httpx.AsyncClient, datasource_id: str, project_id: int) -> None:
        self.attempts: list[Attempt] = []
        self.deliveries: list[Delivery] = []
        self.base: Final = f"/api/datasources/{datasource_id}"
        self.project_id: Final = project_id
        self._api: Final = api

    async def create(
        self, marker: str, *, key: str | None = None, deadline: float | None = None
    ) -> Attempt:
        """Create a punch item named *marker*; the key is the marker unless another is given."""
        return await self.write(
            "POST",
            "/records/punch_items",
            effect=marker,
            key=marker if key is None else key,
            body={"name": marker},
            deadline=deadline,
        )

    async def update(
        self, record_id: str, marker: str, *, key: str | None = None, deadline: float | None = None
    ) -> Attempt:
        """Rename a punch item to *marker*."""
        return await self.write(
            "PATCH",
            f"/records/punch_items/{record_id}",
            effect=marker,
            key=marker if key is None else key,
            body={"name": marker},
            deadline=deadline,
        )

    async def delete(
        self, record_id: str, *, key: str | None = None, deadline: float | None = None
    ) -> Attempt:
        """Delete a punch item."""
        return await self.write(
            "DELETE",
            f"/records/punch_items/{record_id}",
            effect=effect_of("DELETE", f"punch_items/{record_id}", None),
            key=key or f"delete-{record_id}",
            deadline=deadline,
        )

    async def read(self, *, limit: int = 1, deadline: float | None = None) -> Attempt:
        """Read some punch items."""
        return await self.send(
            "GET",
            f"/records/punch_items?project_id={self.project_id}&limit={limit}",
            effect=f"read-{uuid.uuid4().hex}",
            deadline=deadline,
        )

    async def download(self, size: int, *, deadline: float | None = None) -> Delivery:
        """Fetch a body of *size* bytes through the pass-through and note how it arrived."""
        got = hashlib.sha256()
        whole = False
        headers = _deadline(deadline)
        path = f"{self.base}/procore/rest/v1.0/simulator/blob?size={size}"
        try:
            async with self._api.stream("GET", path, headers=headers, timeout=PATIENCE) as answer:
                async for part in answer.aiter_bytes():
                    got.update(part)
                whole = answer.status_code == 200
        except httpx.HTTPError:
            pass  # so its receiver knows
        delivery = Delivery(
            name=f"blob of {size} bytes",
            sent_sha256=blob_sha256(size),
            got_sha256=got.hexdigest(),
            whole=whole,
        )
        self.deliveries.append(delivery)
        return delivery

    async def write(
        self,
        method: str,
        path: str,
        *,
        effect: str,
        key: str | None,
        body: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> Attempt:
        """Send a write to a place below the data source."""
        joint = "&" if "?" in path else "?"
        return await self.send(
            method,
            f"{path}{joint}project_id={self.project_id}",
            effect=effect,
            key=key,
            body=body,
            deadline=deadline,
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        effect: str,
        key: str | None = None,
        body: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> Attempt:
        """Send a request, wait for all of its answer and note what it said."""
        headers = {} if key is None else {"Idempotency-Key": key}
        headers.update(_deadline(deadline))
        sent_at = time.time()
        facts: dict[str, Any]
        try:
            answer = await self._api.request(
                method, f"{self.base}{path}", headers=headers, json=body, timeout=PATIENCE
            )
        except httpx.HTTPError as exc:
            facts = {"error": repr(exc)}
        except asyncio.CancelledError:
            self._note(effect, method, key, sent_at, {"error": "cancelled"})
            raise
        else:
            facts = facts_of(answer)
        return self._note(effect, method, key, sent_at, facts)

    async def look_up(self, key: str) -> dict[str, Any] | None:
        """Ask the relay what became of the last call with *key*."""
        answer = await self._api.get("/api/calls", params={"idempotency_key": key})
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _note(
        self, effect: str, method: str, key: str | None, sent_at: float, facts: Mapping[str, Any]
    ) -> Attempt:
        attempt = Attempt(
            effect=effect,
            method=method,
            key=key,
            sent_at=sent_at,
            ended_at=time.time(),
            **facts,
        )
        self.attempts.append(attempt)
        return attempt


def _deadline(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"Cloud-Connect-Deadline-Ms": str(int(seconds * 1000))}


def blob_sha256(size: int) -> str:
    """Return the hash of the simulator's blob of *size* bytes."""
    digest = hashlib.sha256()
    for part in itertools.repeat(_BLOCK, size // len(_BLOCK)):
        digest.update(part)
    digest.update(_BLOCK[: size % len(_BLOCK)])
    return digest.hexdigest()


def facts_of(answer: httpx.Response) -> dict[str, Any]:
    """Return what an answer says of its call."""
    kind = answer.headers.get("content-type", "")
    problem = answer.json() if kind.startswith("application/problem+json") else {}
    bare = answer.status_code < 500  # else it is nobody's answer to a call
    return {
        "status": answer.status_code,
        "outcome": problem.get("outcome") if problem else "completed" if bare else None,
        "code": problem.get("code"),
        "call_id": answer.headers.get("cloud-connect-call-id"),
        "replayed": answer.headers.get("idempotency-replayed") == "true",
    }
