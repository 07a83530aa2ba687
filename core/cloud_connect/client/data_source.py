"""The calls of one data source."""

import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Final

import orjson

from cloud_connect.calls import Filter, Operation
from cloud_connect.client.protection import Protection, Request, Wanted
from cloud_connect.client.telling import Row, checked, record, records, text, told
from cloud_connect.client.wire import Answer, Wire, answer_away, decoded
from cloud_connect.client.writes import Writes
from cloud_connect.errors import InvalidRequestError, RemoteProtocolError
from cloud_connect.idempotency_keys import MAX_KEY_CHARS, is_key
from cloud_connect.query import is_dry_run

__all__ = ["DataSource", "QueryResult", "Row", "TestReport"]

Value = str | int | float | bool

_LINES: Final = "application/x-ndjson"
_READS: Final = frozenset({"select", "read"})
_MAX_LINE_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """What a query of the platform's shape answered.

    Attributes:
        total_items: How many rows it has in all, where that is known.
        paging: To be sent back for the rows that remain.
        message: A sentence about what was done, or would be.
    """

    items: tuple[Row, ...]
    total_items: int | None = None
    paging: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """How a connection test went, step by step."""

    __test__ = False  # pytest takes its name for a test's

    success: bool
    message: str
    steps: tuple[Row, ...] = ()


class DataSource:
    """Reads and writes through one data source; open it with ``CloudConnect.data_source``."""

    def __init__(
        self, wire: Wire, writes: Writes, protection: Protection, *, timeout: float
    ) -> None:
        self._wire: Final = wire
        self._writes: Final = writes
        self._protection: Final = protection
        self._timeout: Final = timeout

    async def list(
        self,
        resource: str,
        *,
        filters: Mapping[str, Value] | Sequence[Filter] = (),
        sort: Sequence[str] = (),
        fields: Sequence[str] = (),
        limit: int | None = None,
        **scope: int | str,
    ) -> AsyncGenerator[Row, None]:
        """Yield the rows of a resource as they come.

        Args:
            filters: Values by field, or conditions with operators; all must hold.
            sort: Fields; ``-`` before one sorts descending.
            scope: Ids such as ``project_id=12``.

        Raises:
            CloudConnectError: Why there are no rows, or not all of them.
        """
        conditions = _conditions(filters)
        params = _place(resource, None, scope)
        query = list(_query(scope))
        if conditions:
            # No value travels as an empty one: what is signed has to be what the relay passes on.
            values = [(one, one.value or "") for one in conditions]
            params["filters"] = [
                {"field": one.field, "operator": one.operator, "value": value}
                for one, value in values
            ]
            query += [(f"filter[{one.field}][{one.operator}]", value) for one, value in values]
        for name, names in (("sort", sort), ("fields", fields)):
            if names:
                params[name] = [*names]
                query.append((name, ",".join(names)))
        if limit is not None:
            params["limit"] = limit
            query.append(("limit", str(limit)))
        wanted = Wanted(
            operation=Operation.LIST,
            params=params,
            method="GET",
            path=f"records/{resource}",
            query=tuple(query),
            accept=_LINES,
        )
        request = self._protection.request(wanted)
        async with (
            self._wire.send(request, seconds=self._timeout) as answer,
            aclosing(_rows(answer.body)) as rows,
        ):
            async for row in rows:
                yield row

    async def get(
        self, resource: str, record_id: int | str, *, fields: Sequence[str] = (), **scope: int | str
    ) -> Row:
        """Return one record.

        Raises:
            CloudConnectError: Why there is none.
        """
        params = _place(resource, record_id, scope)
        query = _query(scope)
        if fields:
            params["fields"] = [*fields]
            query = (*query, ("fields", ",".join(fields)))
        wanted = Wanted(
            operation=Operation.GET,
            params=params,
            method="GET",
            path=f"records/{resource}/{record_id}",
            query=query,
        )
        return await self._read(wanted)

    async def create(
        self,
        resource: str,
        record: Mapping[str, object],
        *,
        key: str | None = None,
        **scope: int | str,
    ) -> Row:
        """Create a record and return it.

        Args:
            key: The idempotency key; give the one of an earlier attempt to repeat that one.

        Raises:
            CloudConnectError: Why not; its ``outcome`` says what is certain.
        """
        return await self._write(
            Operation.CREATE, resource, None, dict(record), key=key, scope=scope
        )

    async def create_many(
        self,
        resource: str,
        records: Sequence[Mapping[str, object]],
        *,
        key: str | None = None,
        **scope: int | str,
    ) -> Row:
        """Create several records and tell of each what became of it; as :meth:`create`."""
        several = [dict(record) for record in records]
        return await self._write(Operation.CREATE, resource, None, several, key=key, scope=scope)

    async def update(
        self,
        resource: str,
        record_id: int | str,
        record: Mapping[str, object],
        *,
        key: str | None = None,
        **scope: int | str,
    ) -> Row:
        """Change the given fields of a record and return it; as :meth:`create`."""
        return await self._write(
            Operation.UPDATE, resource, record_id, dict(record), key=key, scope=scope
        )

    async def delete(
        self, resource: str, record_id: int | str, *, key: str | None = None, **scope: int | str
    ) -> Row:
        """Delete a record; as :meth:`create`."""
        return await self._write(Operation.DELETE, resource, record_id, None, key=key, scope=scope)

    async def query(self, document: Mapping[str, object], *, key: str | None = None) -> QueryResult:
        """Run a query of the platform's shape: select, insert, update, delete, or a dry run.

        Raises:
            CloudConnectError: Why not; its ``outcome`` says what is certain.
        """
        action = document.get("action")
        reads = isinstance(action, str) and action.strip().lower() in _READS
        rehearsal = not reads and is_dry_run(document)
        chosen = None if reads or rehearsal else _key(key)
        wanted = Wanted(
            operation=Operation.QUERY_DRY_RUN if rehearsal else Operation.QUERY,
            params={},
            method="POST",
            path="query",
            body=_encoded(document),
            key=chosen,
        )
        request = self._protection.request(wanted)
        if chosen is None:
            answer, body = await self._wire.collect(request, seconds=self._timeout)
        else:
            answer, body = await self._writes.run(
                request,
                chosen,
                seconds=self._timeout,
                check=checked if request.opener is None else lambda _: None,
            )
        with _in_doubt(request):
            return _result(answer, body, sealed=self._protection.seals)

    async def test(self) -> TestReport:
        """Test the connection, step by step.

        Raises:
            CloudConnectError: If there is no report.
        """
        wanted = Wanted(operation=Operation.TEST, params={}, method="POST", path="test")
        told = await self._read(wanted)
        return TestReport(
            success=told.get("success") is True,
            message=text(told.get("message")) or "",
            steps=records(told.get("steps")),
        )

    async def tree(self, *, refresh: bool = False) -> tuple[Row, ...]:
        """Return the tables of the data source and their fields.

        Args:
            refresh: Have Procore asked what the company defines.

        Raises:
            CloudConnectError: Why not.
        """
        wanted = Wanted(
            operation=Operation.TREE,
            params={"refresh": True} if refresh else {},
            method="POST",
            path="tree",
            query=(("refresh", "true"),) if refresh else (),
        )
        request = self._protection.request(wanted)
        _, body = await self._wire.collect(request, seconds=self._timeout)
        found = record(decoded(body)) if self._protection.seals else told(body)
        return records(found.get("items"))

    async def _read(self, wanted: Wanted) -> Row:
        request = self._protection.request(wanted)
        _, body = await self._wire.collect(request, seconds=self._timeout)
        return record(decoded(body))

    async def _write(
        self,
        operation: Operation,
        resource: str,
        record_id: int | str | None,
        document: object,
        *,
        key: str | None,
        scope: Mapping[str, int | str],
    ) -> Row:
        chosen = _key(key)
        place = f"records/{resource}" if record_id is None else f"records/{resource}/{record_id}"
        wanted = Wanted(
            operation=operation,
            params=_place(resource, record_id, scope),
            method=_METHODS[operation],
            path=place,
            query=_query(scope),
            body=b"" if document is None else _encoded(document),
            key=chosen,
        )
        request = self._protection.request(wanted)
        answer, body = await self._writes.run(request, chosen, seconds=self._timeout)
        with _in_doubt(request):
            told = record(decoded(body))
        if answer.replayed and told.get("body_available") is False:
            raise answer_away()
        return told


_METHODS: Final = {Operation.CREATE: "POST", Operation.UPDATE: "PATCH", Operation.DELETE: "DELETE"}


def _key(key: str | None) -> str:
    """Return the key of a write; a new one, unless it has one.

    Raises:
        InvalidRequestError: If it cannot be sent.
    """
    if not key:
        return uuid.uuid4().hex
    if not is_key(key) or key != key.strip():  # HTTP takes the spaces away
        raise InvalidRequestError(
            f"The key has to be at most {MAX_KEY_CHARS} printable characters of ASCII, without"
            " spaces around them."
        )
    return key


def _result(answer: Answer, body: bytes, *, sealed: bool) -> QueryResult:
    """Return a query's answer: rows as its connector sends them, or the platform's shape."""
    if sealed:
        return QueryResult(
            items=tuple(record(decoded(line)) for line in body.splitlines()),
            total_items=answer.total_items,
            paging=answer.paging,
            message=answer.message,
        )
    found = told(body)
    return QueryResult(
        items=records(found.get("items")),
        total_items=answer.total_items,
        paging=text(found.get("paging")),
        message=text(found.get("message")),
    )


@contextmanager
def _in_doubt(request: Request) -> Iterator[None]:
    """Say of an answer that makes no sense that what was asked may have been done."""
    try:
        yield
    except RemoteProtocolError as error:
        error.outcome = request.doubt
        raise


def _encoded(document: object) -> bytes:
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as exc:
        raise InvalidRequestError("What is to be written cannot be written as JSON.") from exc


def _place(
    resource: str, record_id: int | str | None, scope: Mapping[str, int | str]
) -> dict[str, object]:
    params: dict[str, object] = {"resource": resource}
    if record_id is not None:
        params["record_id"] = str(record_id)
    if scope:
        params["scope"] = {name: str(value) for name, value in scope.items()}
    for part in (resource, "" if record_id is None else str(record_id)):
        if not all(one.isalnum() or one in "_-" for one in part):
            raise InvalidRequestError(f"{part[:64]!r} is no name of a resource or id of a record.")
    return params


def _query(scope: Mapping[str, int | str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in scope.items())


def _conditions(filters: Mapping[str, Value] | Sequence[Filter]) -> Sequence[Filter]:
    if not isinstance(filters, Mapping):
        return filters
    return [Filter(field=name, value=_word(value)) for name, value in filters.items()]


def _word(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _rows(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[Row, None]:
    """Yield the rows of a body with one a line."""
    pending = b""
    async for piece in pieces:
        *lines, pending = (pending + piece).split(b"\n")
        if len(pending) > _MAX_LINE_BYTES:
            raise RemoteProtocolError("The answer has a row that is too long.")
        for line in lines:
            yield record(decoded(line))
    if pending:
        yield record(decoded(pending))
