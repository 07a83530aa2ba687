"""A company's metadata: read when it is asked for, kept in versions, held against its use."""

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import structlog

from cloud_connect.calls import Source
from cloud_connect_agent.procore.catalog import Catalog, Direction, FieldSpec, Resource
from cloud_connect_agent.procore.fetching import Fetcher
from cloud_connect_agent.procore.metadata.definitions import CompanyFields
from cloud_connect_agent.procore.metadata.reading import (
    read_company_fields,
    read_project_fields,
)
from cloud_connect_agent.procore.metadata.snapshot import (
    Field,
    Origin,
    Snapshot,
    drift_of,
    evolved,
)
from cloud_connect_agent.procore.metadata.store import SnapshotStore, Stored
from cloud_connect_agent.procore.metadata.usage import Usage
from cloud_connect_agent.procore.observed import ObservedFields
from cloud_connect_agent.procore.rows import CUSTOM_FIELD
from cloud_connect_agent.procore.values import FieldType

__all__ = ["Metadata"]

log = structlog.get_logger(__name__)

_FRESH_SECONDS: Final = 60.0  # a company changes its fields by hand
_RETRY_SECONDS: Final = 60.0  # after definitions that could not be read
_KEEP_SECONDS: Final = 60.0  # of use that a crash may lose
_MAX_COMPANIES: Final = 200
_MAX_PROJECTS: Final = 200  # of one company; each is the default one of some data source

# Thousands of fields, of a dozen kinds.
_OF_CATALOG: Final = {kind: Field(type=kind, origin=Origin.CATALOG) for kind in FieldType}

_Key = tuple[str, int]


class _Project:
    """What is known of one project: the field sets that hold in it."""

    def __init__(self) -> None:
        self.own: CompanyFields | None = None
        self.due = 0.0


class _Company:
    """What is known of one company."""

    def __init__(self, source: Source) -> None:
        self.source: Final = source
        self.busy: Final = asyncio.Lock()
        self.own: CompanyFields | None = None
        self.due = 0.0
        self.projects: Final[OrderedDict[int, _Project]] = OrderedDict()
        self.snapshot: Snapshot | None = None
        self.revision = 0
        self.usage = Usage()
        self.loaded = False
        self.dirty = False


class Metadata:
    """Fields beyond the catalogue, versions of all fields, and how they are used.

    Args:
        store: Where that outlives the process; ``None`` keeps it in memory.
        now: Seconds since the epoch.
        clock: Monotonic seconds.
        fresh: For how many seconds what a company defines is used again, asked at each reading.
    """

    def __init__(
        self,
        catalog: Catalog,
        observed: ObservedFields,
        *,
        store: SnapshotStore | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        fresh: Callable[[], float] = lambda: _FRESH_SECONDS,
    ) -> None:
        self._catalog: Final = catalog
        self._observed: Final = observed
        self._store: Final = store
        self._now: Final = now
        self._clock: Final = clock
        self._fresh: Final = fresh
        self._companies: Final[OrderedDict[_Key, _Company]] = OrderedDict()
        self._revisions: Final = itertools.count(1)  # also of companies that were let go meanwhile
        self._names: Final = frozenset(resource.name for resource in catalog)
        self._base: Final = {
            resource.name: {spec.name: _OF_CATALOG[spec.type] for spec in resource.fields}
            for resource in catalog
        }

    def note_use(self, source: Source, table: str, names: Iterable[str]) -> None:
        """Note that a call names fields of a table."""
        company = self._company(source)
        company.usage.note(table, names, at=self._now())
        company.dirty = True

    async def refresh(self, fetcher: Fetcher, *, force: bool = False) -> None:
        """Find out what there is, if that is due or asked for; whatever fails is left out."""
        company = self._company(fetcher.source)
        async with company.busy:
            await self._load(company)
            async with asyncio.TaskGroup() as tasks:
                if force or self._clock() >= company.due:
                    tasks.create_task(self._read(company, fetcher), name="company-fields")
                tasks.create_task(
                    self._read_project(company, fetcher, force=force), name="project-fields"
                )
            await self._look(company)

    async def _read(self, company: _Company, fetcher: Fetcher) -> None:
        read = await read_company_fields(fetcher, self._names)
        if read is not None and read != company.own:
            company.own = read
            company.revision = next(self._revisions)
        company.due = self._clock() + (_RETRY_SECONDS if read is None else self._fresh())

    async def _read_project(self, company: _Company, fetcher: Fetcher, *, force: bool) -> None:
        """Read what holds in the project that the data source is for, if it is for one."""
        project_id = fetcher.source.project_id
        if project_id is None:
            return
        project = company.projects.setdefault(project_id, _Project())
        company.projects.move_to_end(project_id)
        while len(company.projects) > _MAX_PROJECTS:
            company.projects.popitem(last=False)
        if not force and self._clock() < project.due:
            return
        read = await read_project_fields(fetcher, project_id, self._names)
        if read is not None and read != project.own:
            project.own = read
            company.revision = next(self._revisions)
        project.due = self._clock() + (_RETRY_SECONDS if read is None else self._fresh())

    async def _look(self, company: _Company) -> None:
        """Take a new version if what there is has changed."""
        before, tables = company.snapshot, self._tables(company)
        if before is not None and before.fields == tables:
            company.snapshot = replace(before, checked_at=self._now())
            return
        company.revision = next(self._revisions)
        company.snapshot = evolved(before, tables, at=self._now())
        if before is None or before.version != company.snapshot.version:
            log.info(
                "metadata_version",
                company_id=company.source.company_id,
                version=company.snapshot.version,
            )
            await self._save(company)

    def revision(self, source: Source) -> int:
        """A number that is another one after each change of what is known of a company."""
        return self._company(source).revision

    def fields(self, source: Source, resource: Resource) -> list[FieldSpec]:
        """The fields beyond the catalogue, as it would list them."""
        snapshot = self._company(source).snapshot
        known = {} if snapshot is None else snapshot.fields.get(resource.name, {})
        writes = resource.create is not None or resource.update is not None
        return [
            FieldSpec(
                name=name,
                type=one.type,
                direction=(
                    Direction.BOTH if writes and CUSTOM_FIELD.fullmatch(name) else Direction.OUT
                ),
                label=one.label or name.replace("_", " ").capitalize(),
            )
            for name, one in known.items()
            if one.origin is not Origin.CATALOG
        ]

    def type_of(self, source: Source, resource: Resource, name: str) -> FieldType | None:
        """The type of a field beyond the catalogue, as far as it is known."""
        snapshot = self._company(source).snapshot
        known = None if snapshot is None else snapshot.fields.get(resource.name, {}).get(name)
        return self._observed.type_of(source, resource, name) if known is None else known.type

    def required(self, source: Source, resource: Resource) -> frozenset[str]:
        """The fields that the field set of the source's project requires.

        Where that is not known, those that one of the company's field sets does.
        """
        company = self._company(source)
        if source.project_id is not None and "project_id" in resource.scope:
            project = company.projects.get(source.project_id)
            own = None if project is None else project.own
            if own is not None and resource.name in own.covered:
                return own.required_of(resource.name)
        return frozenset() if company.own is None else company.own.required_of(resource.name)

    async def drift(self, fetcher: Fetcher, *, force: bool = False) -> dict[str, object]:
        """Which fields that calls named are gone or have another type, as a document."""
        await self.refresh(fetcher, force=force)
        company = self._company(fetcher.source)
        snapshot = company.snapshot or evolved(None, self._tables(company), at=self._now())
        return {
            "version": snapshot.version,
            "previous_version": snapshot.previous,
            "taken_at": _iso(snapshot.taken_at),
            "checked_at": _iso(snapshot.checked_at),
            "items": [
                {
                    "resource": one.table,
                    "field": one.name,
                    "kind": one.kind,
                    "last_seen_at": _iso(one.last_seen),
                    "used_by_queries": one.used,
                    "last_used_at": _iso(one.last_used),
                }
                for one in drift_of(snapshot, company.usage)
            ],
        }

    async def keep(self) -> None:
        """Write what is new to disk every minute, until cancelled."""
        while True:
            await asyncio.sleep(_KEEP_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what is new to disk."""
        for company in [one for one in self._companies.values() if one.dirty]:
            async with company.busy:
                await self._load(company)
                await self._save(company)

    def _company(self, source: Source) -> _Company:
        key = (source.environment.value, source.company_id)
        company = self._companies.get(key)
        if company is None:
            company = self._companies[key] = _Company(source)
            while len(self._companies) > _MAX_COMPANIES:
                self._companies.popitem(last=False)
        self._companies.move_to_end(key)
        return company

    def _tables(self, company: _Company) -> dict[str, dict[str, Field]]:
        """All fields there are now, those included that nothing says are gone."""
        tables = {}
        for resource in self._catalog:
            base = self._base[resource.name]
            beyond = self._beyond(company, resource, base)
            tables[resource.name] = {**base, **beyond} if beyond else base
        return tables

    def _beyond(
        self, company: _Company, resource: Resource, catalog: Mapping[str, Field]
    ) -> dict[str, Field]:
        own = company.own or CompanyFields()
        before = {} if company.snapshot is None else company.snapshot.fields.get(resource.name, {})
        found: dict[str, Field] = {}
        for name, one in before.items():
            custom = CUSTOM_FIELD.fullmatch(name) is not None
            settled = custom and (
                own.lacks(name)
                or resource.name in own.covered
                or self._observed.misses(company.source, resource, name)
            )
            if one.origin is not Origin.CATALOG and not settled:
                found[name] = one
        for spec in self._observed.fields(company.source, resource):
            if CUSTOM_FIELD.fullmatch(spec.name) and own.lacks(spec.name):
                continue
            label = found[spec.name].label if spec.name in found else ""
            found[spec.name] = Field(type=spec.type, origin=Origin.SHOWN, label=label)
        for spec in own.custom.get(resource.name, ()):
            found[spec.name] = Field(type=spec.type, origin=Origin.DEFINED, label=spec.label)
        return {name: one for name, one in found.items() if name not in catalog}

    async def _load(self, company: _Company) -> None:
        if company.loaded:
            return
        company.loaded = True
        if self._store is None:
            return
        stored = await asyncio.to_thread(self._store.load, company.source)
        if stored is not None:
            company.snapshot = stored.snapshot
            fresh, company.usage = company.usage, stored.usage
            company.usage.add(fresh)

    async def _save(self, company: _Company) -> None:
        company.dirty = False
        if self._store is not None:
            stored = Stored(snapshot=company.snapshot, usage=company.usage.copy())
            await asyncio.to_thread(self._store.save, company.source, stored)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
