"""What moves the bytes of files, put together."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cloud_connect_agent.procore.catalog import Catalog
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.files.downloads import Downloads
from cloud_connect_agent.procore.files.holding import HeldFiles
from cloud_connect_agent.procore.files.resuming import StepJournal
from cloud_connect_agent.procore.files.spool import Spool
from cloud_connect_agent.procore.files.storage import Storage
from cloud_connect_agent.procore.files.uploads import Uploads
from cloud_connect_agent.procore.transport import Timeouts
from cloud_connect_agent.proxies import Proxies

__all__ = ["ProcoreFiles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcoreFiles:
    """Downloads and uploads, and the resources that files hang on."""

    catalog: Catalog
    downloads: Downloads
    uploads: Uploads
    held: HeldFiles

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        client: ProcoreClient,
        catalog: Catalog,
        *,
        spool_dir: Path,
        max_spool_bytes: Callable[[], int],
        timeouts: Timeouts | None = None,
        proxies: Proxies | None = None,
        journal: StepJournal | None = None,
    ) -> AsyncIterator[Self]:
        """Put them together; nothing is connected, or made on disk, before the first file.

        Args:
            spool_dir: Where a file is kept that has to be known before it is sent.
            journal: Where it is noted how far long uploads came.
        """
        storage = Storage(client, timeouts=timeouts, proxies=proxies)
        spool = Spool(spool_dir, max_bytes=max_spool_bytes)
        async with HeldFiles.open(spool) as held:
            yield cls(
                catalog=catalog,
                downloads=Downloads(client, storage),
                uploads=Uploads(client, storage, spool, journal=journal),
                held=held,
            )
