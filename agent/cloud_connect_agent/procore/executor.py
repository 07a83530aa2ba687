"""The agent's records: what the dispatcher calls, once the policy has agreed."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Final

from cloud_connect.calls import Operation, RecordParams, Source
from cloud_connect.errors import InvalidRequestError, SourceRejectedError
from cloud_connect.query import Action, Condition, Group, Operator, Query
from cloud_connect_agent.policy import Access, Ceiling
from cloud_connect_agent.procore.accesses import (
    accesses_of_params,
    accesses_of_query,
    accesses_of_records,
    rehearsed,
)
from cloud_connect_agent.procore.answering import Answering
from cloud_connect_agent.procore.bulk import create_all
from cloud_connect_agent.procore.catalog import Catalog, Resource
from cloud_connect_agent.procore.changing import Changing
from cloud_connect_agent.procore.drafts import new_records, new_records_of
from cloud_connect_agent.procore.extent import too_many_new
from cloud_connect_agent.procore.fetching import Client, Fetcher
from cloud_connect_agent.procore.files.forms import FormFile
from cloud_connect_agent.procore.metadata import (
    Metadata,
    SnapshotStore,
    names_of_params,
    names_of_query,
)
from cloud_connect_agent.procore.observed import ObservedFields
from cloud_connect_agent.procore.records import with_own_values
from cloud_connect_agent.procore.rehearsing import Rehearsing
from cloud_connect_agent.procore.rows import Row
from cloud_connect_agent.procore.rowstream import RowStream
from cloud_connect_agent.procore.selection import (
    Selection,
    selection_of_params,
    selection_of_query,
)
from cloud_connect_agent.procore.tree import Trees
from cloud_connect_agent.procore.values import Calendar
from cloud_connect_agent.procore.writes import without_writes

__all__ = ["RecordExecutor"]


def _now() -> datetime:
    return datetime.now(UTC)


class RecordExecutor:
    """Carries out typed operations on Procore's records.

    Args:
        now: The current point in time.
        zone: Where days are counted, and so what "today" is; ``None`` is this PC's own zone.
        store: Where versions of the metadata outlive the process.
        tree_cache_seconds: For how long what a company defines is used again.

    Attributes:
        metadata: What there is to pick from, and what calls pick.
    """

    def __init__(
        self,
        client: Client,
        catalog: Catalog,
        *,
        now: Callable[[], datetime] = _now,
        zone: tzinfo | None = None,
        store: SnapshotStore | None = None,
        tree_cache_seconds: Callable[[], float] | None = None,
    ) -> None:
        self._client: Final = client
        self._catalog: Final = catalog
        self._now: Final = now
        self._zone: Final = zone
        observed = ObservedFields()
        fresh = {} if tree_cache_seconds is None else {"fresh": tree_cache_seconds}
        self.metadata: Final = Metadata(catalog, observed, store=store, **fresh)
        self._trees: Final = Trees(catalog, self.metadata)
        self._answering: Final = Answering(catalog, observed)
        self._changing: Final = Changing(catalog, self._answering)
        self._rehearsing: Final = Rehearsing(catalog, self._answering, self.metadata)

    @property
    def resources(self) -> Sequence[str]:
        """The names of all tables."""
        return [resource.name for resource in self._catalog]

    def accesses(
        self,
        operation: Operation,
        params: RecordParams,
        record: Mapping[str, object] | None = None,
    ) -> Sequence[Access]:
        """What the policy must allow before the operation runs."""
        return accesses_of_params(self._catalog, operation, params, record)

    def accesses_of_records(
        self, params: RecordParams, records: Sequence[Mapping[str, object]]
    ) -> Sequence[Access]:
        """What the policy must allow before several records are created."""
        return accesses_of_records(self._catalog, params, records)

    def accesses_of_dry_run(
        self,
        operation: Operation,
        params: RecordParams,
        records: Sequence[Mapping[str, object]],
    ) -> Sequence[Access]:
        """What the policy must allow before a write is rehearsed: the write and the read."""
        if operation is Operation.CREATE:
            return self.accesses_of_records(params, records)
        return rehearsed(self.accesses(operation, params, next(iter(records), None)))

    def accesses_of_query(self, source: Source, query: Query) -> Sequence[Access]:
        """What the policy must allow before the query runs."""
        return accesses_of_query(self._catalog, source, query)

    def upserts(self, resource: str) -> bool:
        """Whether a keyed create of *resource* makes no second record when it is repeated."""
        return resource in self._catalog.upserts

    async def list(self, params: RecordParams, deadline: float) -> RowStream:
        """Begin to read a list; its first page is there when this returns.

        Raises:
            InvalidRequestError: If it names what is not known.
        """
        resource = self._catalog.resource(params.resource)
        self._note(params)
        return await self._answer(selection_of_params(resource, params), params, deadline)

    async def get(self, params: RecordParams, deadline: float) -> Row:
        """Read one record by its id.

        Raises:
            SourceRejectedError: With status 404, if there is none or the account may not see it.
        """
        selection = self._meant(params)

        async def shown() -> list[Row]:
            async with await self._answer(selection, params, deadline) as stream:
                return [row async for row in stream]

        return await _only(selection.resource, shown())

    async def create(
        self, params: RecordParams, record: Mapping[str, object], deadline: float
    ) -> Row:
        """Create a record and return it as Procore made it."""
        self._note(params, [record])
        record = self._typed(params.source, params.resource, record)
        return await self._changing.one(
            Operation.CREATE, params, record, self._fetcher(params.source, deadline, params)
        )

    async def create_many(
        self,
        params: RecordParams,
        records: Sequence[Mapping[str, object]],
        deadline: float,
        *,
        ceiling: Ceiling | None,
    ) -> RowStream:
        """Create records, and tell of each what became of it.

        Raises:
            InvalidRequestError: If one of them cannot be sent; none is, then.
            PolicyDeniedError: If they are more than *ceiling* allows.
        """
        resource = self._catalog.resource(params.resource)
        self._note(params, records)
        refused = too_many_new(resource, len(records), ceiling=ceiling)
        if refused is not None:
            raise refused
        records = self._all_typed(params, records)
        new = new_records_of(resource, params, records)
        fetcher = self._fetcher(params.source, deadline, params)
        return await create_all(resource, new, fetcher)

    async def dry_run(
        self,
        operation: Operation,
        params: RecordParams,
        records: Sequence[Mapping[str, object]],
        deadline: float,
        *,
        ceiling: Ceiling | None,
    ) -> RowStream:
        """Tell what a create, update or delete of records would change, without a write.

        Args:
            records: What would be written; none for a delete.

        Raises:
            InvalidRequestError: If it could not be carried out; the message says why.
            SourceRejectedError: With status 404, if there is no such record.
        """
        records = self._all_typed(params, records)
        with without_writes():
            if operation is Operation.CREATE:
                resource = self._catalog.resource(params.resource)
                new = new_records_of(resource, params, records)
                fetcher = self._fetcher(params.source, deadline, params)
                return await self._rehearsing.creation(resource, new, fetcher, ceiling=ceiling)
            self._rehearsing.check(operation, params, next(iter(records), None))
            selection, fetcher = self._meant(params), self._fetcher(params.source, deadline, params)
            found = self._answering.records(selection, fetcher, self._calendar())
            return self._rehearsing.change(operation, await _only(selection.resource, found))

    async def update(
        self, params: RecordParams, record: Mapping[str, object], deadline: float
    ) -> Row:
        """Change a record and return it as it is then."""
        self._note(params, [record])
        record = self._typed(params.source, params.resource, record)
        return await self._changing.one(
            Operation.UPDATE, params, record, self._fetcher(params.source, deadline, params)
        )

    async def attach(self, params: RecordParams, file: FormFile, deadline: float) -> Row:
        """Hang a file on a record, within a form, and return the record as it is then."""
        self._note(params)
        return await self._changing.attach(
            params, file, self._fetcher(params.source, deadline, params)
        )

    async def delete(self, params: RecordParams, deadline: float) -> Row:
        """Delete a record; returns an empty one."""
        return await self._changing.one(
            Operation.DELETE, params, None, self._fetcher(params.source, deadline, params)
        )

    async def query(
        self,
        source: Source,
        query: Query,
        deadline: float,
        *,
        interactive: bool = True,
        ceiling: Ceiling | None = None,
        seed: str | None = None,
    ) -> RowStream:
        """Carry out a query of the platform.

        Args:
            ceiling: The most records that it may change.
            seed: What is the same for each repeat of the call.

        Raises:
            InvalidRequestError: If it is refused; the message is for the form's user.
            PolicyDeniedError: If it would change more records than *ceiling* allows.
            UnsupportedOperationError: If Procore has no such operation.
        """
        fetcher = Fetcher(
            self._client, source, deadline=deadline, interactive=interactive, seed=seed
        )
        calendar = self._calendar()
        resource = self._catalog.resource(query.info.name)
        self.metadata.note_use(source, resource.name, names_of_query(query))
        if query.action is not Action.SELECT:
            query = self._with_own_values(source, query)
            if query.dry_run:
                with without_writes():
                    return await self._rehearsing.query(query, fetcher, calendar, ceiling=ceiling)
            if query.records is not None:
                refused = too_many_new(resource, len(query.records), ceiling=ceiling)
                if refused is not None:
                    raise refused
                new = new_records(resource, query, source)
                return await create_all(resource, new, fetcher)
            return await self._changing.query(query, fetcher, calendar, ceiling=ceiling)
        selection = selection_of_query(resource, query)
        return RowStream(await self._answering.answer(selection, fetcher, calendar))

    async def tree(
        self, source: Source, deadline: float, *, refresh: bool = False
    ) -> Sequence[Mapping[str, object]]:
        """The tables and fields that people pick from, the company's own included.

        Args:
            refresh: Ask Procore what the company defines, however short ago that was.
        """
        await self.metadata.refresh(self._own_fetcher(source, deadline), force=refresh)
        return self._trees.tree(source)

    async def drift(
        self, source: Source, deadline: float, *, refresh: bool = False
    ) -> Mapping[str, object]:
        """Which fields that calls named are gone, or have another type, by now."""
        fetcher = self._own_fetcher(source, deadline)
        return await self.metadata.drift(fetcher, force=refresh)

    async def _answer(
        self, selection: Selection, params: RecordParams, deadline: float
    ) -> RowStream:
        fetcher = self._fetcher(params.source, deadline, params)
        return RowStream(await self._answering.answer(selection, fetcher, self._calendar()))

    def _meant(self, params: RecordParams) -> Selection:
        """The record with an id, as a selection.

        Raises:
            InvalidRequestError: If there is no id.
        """
        resource = self._catalog.resource(params.resource)
        if params.record_id is None:
            raise InvalidRequestError(f"Say which of the {resource.many} is meant by its id.")
        chosen = Condition.of("id", Operator.EQ, params.record_id)
        return replace(
            selection_of_params(resource, params),
            condition=Group(conditions=(chosen,)),
            limit=1,
            shown=True,
        )

    def _calendar(self) -> Calendar:
        return Calendar(now=self._now(), zone=self._zone)

    def _typed(self, source: Source, table: str, record: Mapping[str, object]) -> Row:
        resource = self._catalog.resource(table)
        return with_own_values(record, partial(self.metadata.type_of, source, resource))

    def _all_typed(
        self, params: RecordParams, records: Sequence[Mapping[str, object]]
    ) -> Sequence[Row]:
        return [self._typed(params.source, params.resource, record) for record in records]

    def _with_own_values(self, source: Source, query: Query) -> Query:
        typed = partial(self._typed, source, query.info.name)
        records = None if query.records is None else tuple(map(typed, query.records))
        return query.model_copy(update={"mappings": typed(query.mappings), "records": records})

    def _own_fetcher(self, source: Source, deadline: float) -> Fetcher:
        return Fetcher(self._client, source, deadline=deadline, interactive=True)

    def _note(self, params: RecordParams, records: Iterable[Mapping[str, object]] = ()) -> None:
        names = names_of_params(params, records)
        self.metadata.note_use(params.source, params.resource, names)

    def _fetcher(self, source: Source, deadline: float, params: RecordParams) -> Fetcher:
        return Fetcher(
            self._client,
            source,
            deadline=deadline,
            interactive=params.interactive,
            seed=params.seed,
        )


async def _only(resource: Resource, reading: Awaitable[Sequence[Row]]) -> Row:
    """The one record that is read by its id.

    Raises:
        SourceRejectedError: With status 404, if there is none or the account may not see it.
    """
    said = None
    try:
        for row in await reading:
            return row
    except SourceRejectedError as refused:
        if refused.status != 404:
            raise
        said = refused.body
    raise SourceRejectedError(
        f"Procore has no such record among the {resource.many}, or does not show it.",
        status=404,
        body=said,
    )
