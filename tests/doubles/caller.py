"""A platform that calls through a relay and remembers every answer that it got."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

import httpx

from doubles.history import Attempt, effect_of

__all__ = ["Caller"]

PATIENCE: Final = 90.0  # seconds: longer than any deadline that a test gives


class Caller:
    """Writes and reads punch items of one project, each write under a key of its own.

    Attributes:
        attempts: What was asked for and what was answered, in the order of the answers.
    """

    def __init__(self, api: httpx.AsyncClient, datasource_id: str, project_id: int) -> None:
        self.attempts: list[Attempt] = []
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
        if deadline is not None:
            headers["Cloud-Connect-Deadline-Ms"] = str(int(deadline * 1000))
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


def facts_of(answer: httpx.Response) -> dict[str, Any]:
    """Return what an answer says of its call."""
    kind = answer.headers.get("content-type", "")
    problem = answer.json() if kind.startswith("application/problem+json") else {}
    return {
        "status": answer.status_code,
        "outcome": problem.get("outcome") if problem else "completed",
        "code": problem.get("code"),
        "call_id": answer.headers.get("cloud-connect-call-id"),
        "replayed": answer.headers.get("idempotency-replayed") == "true",
    }
