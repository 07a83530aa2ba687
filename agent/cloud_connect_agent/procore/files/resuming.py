"""How far a long upload came, in the journal: a repeat sends Procore only what it lacks."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

import orjson

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.procore.files.spool import SpooledFile
from cloud_connect_agent.procore.files.steps import NewFile

__all__ = ["Resumption", "StepJournal", "UploadState"]


class StepJournal(Protocol):
    """The durable record of steps."""

    async def steps(self, key: str) -> bytes | None:
        """Return what was noted about a piece of work; ``None`` if that was long ago."""
        ...

    async def note_steps(self, key: str, data: bytes) -> None:
        """Note how far it came; durable on return."""
        ...

    async def forget_steps(self, key: str) -> None:
        """Forget it: it is over."""
        ...


class UploadState:
    """How far one upload came.

    Attributes:
        made: Procore's answer to its creation; ``None`` before that.
        etags: Of the pieces that storage has.
        is_resumed: Whether an earlier attempt left something behind.
    """

    def __init__(self, journal: StepJournal | None, key: str) -> None:
        self.made: Mapping[str, object] | None = None
        self.etags: list[str] = []
        self.is_resumed = False
        self._journal: Final = journal
        self._key: Final = key

    async def load(self) -> None:
        """Find out what an earlier attempt left behind."""
        data = None
        if self._journal is not None:
            with contextlib.suppress(CloudConnectError):  # then it begins at the beginning
                data = await self._journal.steps(self._key)
        if data is not None:
            found = orjson.loads(data)
            self.made, self.etags, self.is_resumed = found["made"], found["etags"], True

    async def created(self, made: Mapping[str, object]) -> None:
        """Note that Procore knows of the upload."""
        self.made, self.etags = made, []
        await self._note()

    async def stored(self, etag: str) -> None:
        """Note that storage has the next piece."""
        self.etags.append(etag)
        await self._note()

    async def _note(self) -> None:
        if self._journal is not None:
            data = orjson.dumps({"made": dict(self.made or {}), "etags": self.etags})
            with contextlib.suppress(CloudConnectError):  # nothing of it is visible in Procore
                await self._journal.note_steps(self._key, data)

    async def over(self) -> None:
        """Forget the steps: the upload is complete, or cannot go on."""
        self.made, self.etags, self.is_resumed = None, [], False
        if self._journal is not None:
            with contextlib.suppress(CloudConnectError):
                await self._journal.forget_steps(self._key)


class Resumption:
    """Gives uploads the state that an attempt with the same file left behind."""

    def __init__(self, journal: StepJournal | None) -> None:
        self._journal: Final = journal
        self._busy: Final[set[str]] = set()

    @asynccontextmanager
    async def state(self, file: NewFile, spooled: SpooledFile) -> AsyncIterator[UploadState]:
        """Hold the state of the upload; of two at once, the second keeps none."""
        key = _key_of(file, spooled)
        if key in self._busy:
            yield UploadState(None, key)
            return
        self._busy.add(key)
        try:
            state = UploadState(self._journal, key)
            await state.load()
            yield state
        finally:
            self._busy.discard(key)


def _key_of(file: NewFile, spooled: SpooledFile) -> str:
    facts = (
        file.source.environment,
        file.unified_place,
        file.filename,
        file.content_type,
        file.flow,
        file.tool,
        spooled.size,
        spooled.sha256,
    )
    return hashlib.sha256(orjson.dumps(facts)).hexdigest()
