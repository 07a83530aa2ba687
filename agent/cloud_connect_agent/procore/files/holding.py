"""Files that wait on disk for the change that they are a part of."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from cloud_connect.calls import Source
from cloud_connect.errors import (
    SourceUnavailableError,
    UnsupportedOperationError,
)
from cloud_connect_agent.procore.catalog import Resource
from cloud_connect_agent.procore.files.forms import FormFile
from cloud_connect_agent.procore.files.spool import Spool, SpooledFile
from cloud_connect_agent.procore.files.steps import NewFile
from cloud_connect_agent.tasks import lasting_tasks

__all__ = ["HeldFiles"]

_HELD_SECONDS: Final = 120.0  # the change comes right behind its file
_PREFIX: Final = "held-"
_NO_ROOM: Final = (
    "Procore takes it within a form only, which keeps it there: make room, or raise "
    "max_spool_bytes in agent.toml on that PC."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """One of them.

    Attributes:
        over: Set when it waits no longer.
    """

    file: NewFile
    resource: str
    spooled: SpooledFile
    stack: AsyncExitStack
    over: asyncio.Event = field(default_factory=asyncio.Event)


class HeldFiles:
    """Keeps files for resources that take them within a form only; open it with :meth:`open`."""

    def __init__(self, spool: Spool, tasks: asyncio.TaskGroup, *, seconds: float) -> None:
        self._spool: Final = spool
        self._tasks: Final = tasks
        self._seconds: Final = seconds
        self._held: Final[dict[str, _Held]] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, spool: Spool, *, seconds: float = _HELD_SECONDS
    ) -> AsyncIterator["HeldFiles"]:
        """Open a place for files; what waits at the end is let go of.

        Args:
            seconds: For how long a file waits.
        """
        async with lasting_tasks() as tasks:
            made = cls(spool, tasks, seconds=seconds)
            try:
                yield made
            finally:
                for held in made._held.values():
                    held.over.set()

    async def keep(
        self, file: NewFile, resource: Resource, body: AsyncIterator[bytes]
    ) -> dict[str, object]:
        """Take a file in and return how the change refers to it.

        Raises:
            CloudConnectError: If it is not there.
        """
        async with AsyncExitStack() as stack:
            spooled = await stack.enter_async_context(
                self._spool.keep(body, size=file.size, advice=_NO_ROOM)
            )
            held = _Held(file=file, resource=resource.name, spooled=spooled, stack=stack.pop_all())
        reference = f"{_PREFIX}{secrets.token_hex(16)}"
        self._held[reference] = held
        self._tasks.create_task(self._wait(reference, held), name="held-file")
        return file.told({"uuid": reference}, spooled)

    @asynccontextmanager
    async def taken(
        self, reference: str, source: Source, resource: Resource
    ) -> AsyncIterator[FormFile]:
        """Take a file out; it is gone with the block.

        Raises:
            SourceUnavailableError: If it is not here any more.
            UnsupportedOperationError: If the reference is to an upload at Procore.
        """
        if not reference.startswith(_PREFIX):
            raise UnsupportedOperationError(
                f"{resource.text} take no files in Procore that were uploaded before; send the "
                "file itself, with its “filename”."
            )
        held = self._held.get(reference)
        if held is None or (held.file.source, held.resource) != (source, resource.name):
            raise SourceUnavailableError(
                "The connector does not have the file any more; send it again."
            )
        del self._held[reference]
        held.over.set()
        async with held.stack.pop_all():
            yield FormFile(
                filename=held.file.filename,
                content_type=held.file.content_type,
                size=held.spooled.size,
                read=partial(held.spooled.read, 0, held.spooled.size),
            )

    async def _wait(self, reference: str, held: _Held) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await held.over.wait()
        finally:
            self._held.pop(reference, None)
            await held.stack.aclose()  # empty, if somebody took the file
