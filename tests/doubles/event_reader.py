"""A reader of server-sent events over a real socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

__all__ = ["EventReader", "Heard", "events_of"]

WITHIN = 10.0  # seconds for an event that is on its way


@dataclass(frozen=True, slots=True)
class Heard:
    """One event; a comment has no name."""

    name: str
    data: Any
    id: str = ""


class EventReader:
    """Reads one stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> Heard | None:
        """Return what comes next, comments included; nothing if the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(WITHIN):
            async for line in self._lines:
                if line == "":
                    if "event" in fields or "" in fields:
                        break
                    fields = {}  # of how long to wait before a retry
                    continue
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            else:
                return None
        if "event" not in fields:
            return Heard("", None)
        return Heard(fields["event"], json.loads(fields["data"]), fields["id"])

    async def until(self, name: str, **members: Any) -> Heard:
        """Return the next event of that name whose data has such members."""
        while True:
            heard = await self.next()
            assert heard is not None, "the stream has ended"
            if heard.name == name and members.items() <= heard.data.items():
                return heard


@contextlib.asynccontextmanager
async def events_of(
    api: httpx.AsyncClient, path: str = "/api/events", **headers: str
) -> AsyncIterator[EventReader]:
    """Listen, from the first event on, which says that it is ready."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.stream("GET", path, headers=given) as answer:
        if answer.status_code != 200:
            await answer.aread()
        yield EventReader(answer)
