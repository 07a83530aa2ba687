"""What the dispatcher asks of the executor of typed operations."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from cloud_connect.calls import Operation, RecordParams, Source
from cloud_connect.query import Query
from cloud_connect_agent.policy import Access, Ceiling
from cloud_connect_agent.procore.files.forms import FormFile

__all__ = ["RecordSource", "Rows"]


class Rows(Protocol):
    """Rows as an executor delivers them."""

    @property
    def total_items(self) -> int | None:
        """How many rows there are in all, as soon as it is known."""
        ...

    @property
    def paging(self) -> str | None:
        """Where the next page begins, known at the end."""
        ...

    @property
    def message(self) -> str | None:
        """A sentence for people, where there is something to say."""
        ...

    @property
    def unclear(self) -> bool:
        """Whether they tell of writes, one of which may have had its effect or not."""
        ...

    def batches(self) -> AsyncIterator[Sequence[Mapping[str, object]]]:
        """Yield the rows that arrived together."""
        ...

    async def aclose(self) -> None:
        """Stop reading."""
        ...


class RecordSource(Protocol):
    """Carries out typed operations: the record executor."""

    @property
    def resources(self) -> Sequence[str]:
        """The names of all tables."""
        ...

    def accesses(
        self,
        operation: Operation,
        params: RecordParams,
        record: Mapping[str, object] | None = None,
    ) -> Sequence[Access]:
        """Return what the policy must allow before anything runs."""
        ...

    def accesses_of_query(self, source: Source, query: Query) -> Sequence[Access]:
        """Return what the policy must allow before the query runs."""
        ...

    def accesses_of_records(
        self, params: RecordParams, records: Sequence[Mapping[str, object]]
    ) -> Sequence[Access]:
        """Return what the policy must allow before several records are created."""
        ...

    def accesses_of_dry_run(
        self,
        operation: Operation,
        params: RecordParams,
        records: Sequence[Mapping[str, object]],
    ) -> Sequence[Access]:
        """Return what the policy must allow before a write is rehearsed."""
        ...

    def upserts(self, resource: str) -> bool:
        """Return whether a keyed create of *resource* makes no second record when repeated."""
        ...

    async def list(self, params: RecordParams, deadline: float) -> Rows:
        """Begin to read a list."""
        ...

    async def get(self, params: RecordParams, deadline: float) -> Mapping[str, object]:
        """Read one record."""
        ...

    async def create(
        self, params: RecordParams, record: Mapping[str, object], deadline: float
    ) -> Mapping[str, object]:
        """Create a record."""
        ...

    async def create_many(
        self,
        params: RecordParams,
        records: Sequence[Mapping[str, object]],
        deadline: float,
        *,
        ceiling: Ceiling | None,
    ) -> Rows:
        """Create several records, and tell of each what became of it."""
        ...

    async def dry_run(
        self,
        operation: Operation,
        params: RecordParams,
        records: Sequence[Mapping[str, object]],
        deadline: float,
        *,
        ceiling: Ceiling | None,
    ) -> Rows:
        """Tell what a write would change, without it."""
        ...

    async def update(
        self, params: RecordParams, record: Mapping[str, object], deadline: float
    ) -> Mapping[str, object]:
        """Change a record."""
        ...

    async def attach(
        self, params: RecordParams, file: FormFile, deadline: float
    ) -> Mapping[str, object]:
        """Hang a file on a record, within a form."""
        ...

    async def delete(self, params: RecordParams, deadline: float) -> Mapping[str, object]:
        """Delete a record."""
        ...

    async def query(
        self,
        source: Source,
        query: Query,
        deadline: float,
        *,
        interactive: bool = True,
        ceiling: Ceiling | None = None,
        seed: str | None = None,
    ) -> Rows:
        """Carry a query out."""
        ...

    async def tree(
        self, source: Source, deadline: float, *, refresh: bool = False
    ) -> Sequence[Mapping[str, object]]:
        """Return the tables and fields there are."""
        ...

    async def drift(
        self, source: Source, deadline: float, *, refresh: bool = False
    ) -> Mapping[str, object]:
        """Return which fields in use are gone or have another type."""
        ...
