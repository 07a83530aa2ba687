"""Creates records, one or many in one call, and tells what became of each."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from cloud_connect.calls import Operation
from cloud_connect.errors import (
    CloudConnectError,
    Outcome,
    OutcomeUnknownError,
    SourceRejectedError,
)
from cloud_connect_agent.procore.catalog import Resource, Sync
from cloud_connect_agent.procore.drafts import NewRecord, answered_row
from cloud_connect_agent.procore.fetching import Fetcher
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse
from cloud_connect_agent.procore.planner import Target, scoped
from cloud_connect_agent.procore.rows import Row
from cloud_connect_agent.procore.rowstream import FixedRows, RowStream
from cloud_connect_agent.procore.sent import sent_record
from cloud_connect_agent.procore.syncing import Synced, marked, shared_of, sync_request, synced

__all__ = ["create_all", "create_one"]

_REPEAT_PAUSES: Final = (0.25, 0.5)  # seconds before each repeat of an upsert

_UNTOLD: Final = "Procore's answer does not tell what became of this record."

# Statuses that are about the one record; others would be the next one's answer, too.
_OF_THE_RECORD: Final = frozenset({400, 404, 409, 413, 415, 422})


async def create_one(resource: Resource, new: NewRecord, fetcher: Fetcher) -> Row:
    """Create a record and return it as Procore made it.

    Raises:
        OutcomeUnknownError: If nobody knows whether it is there.
        SourceRejectedError: If Procore refused it.
    """
    sync = _upsert(resource, fetcher)
    if sync is None:
        response = await fetcher.send(new.request)
        return answered_row(resource, Operation.CREATE, new.target, response)
    sent = sent_record(new.request, resource.needed(Operation.CREATE))
    items = marked([sent], sync, fetcher.seed, [0])
    (told,) = await _synced(resource, sync, new.target, items, fetcher, begun=False)
    if told.record is not None:
        return scoped(told.record, resource, new.target)
    if told.reason is None:
        raise OutcomeUnknownError(_UNTOLD)
    raise SourceRejectedError(told.reason, status=422, body=told.source)


async def create_all(
    resource: Resource,
    records: Sequence[NewRecord],
    fetcher: Fetcher,
) -> RowStream:
    """Create records, each request once, and tell of each, in order, what became of it.

    Raises:
        CloudConnectError: Why none was created, if that is not about one record only.
    """
    results = _Results(len(records))
    sync = resource.sync if len(records) > 1 else _upsert(resource, fetcher)
    if sync is None:
        await _one_by_one(resource, records, fetcher, results)
    else:
        await _together(resource, sync, records, fetcher, results)
    return results.stream()


def _upsert(resource: Resource, fetcher: Fetcher) -> Sync | None:
    """The sync by which creating a record again makes no second one, if there is one."""
    sync = resource.sync
    return sync if sync is not None and sync.safe_for_create and fetcher.seed is not None else None


async def _together(
    resource: Resource,
    sync: Sync,
    records: Sequence[NewRecord],
    fetcher: Fetcher,
    results: "_Results",
) -> None:
    endpoint = resource.needed(Operation.CREATE)
    sent = [sent_record(one.request, endpoint) for one in records]
    for places in _requests(records, sent, sync):
        items = marked([sent[place] for place in places], sync, fetcher.seed, places)
        target = records[places[0]].target
        try:
            known = await _synced(resource, sync, target, items, fetcher, begun=results.begun)
        except CloudConnectError as exc:
            if not results.failed(places, exc):
                return
            continue
        for place, told in zip(places, known, strict=True):
            if told.record is not None:
                row = scoped(told.record, resource, target)
                results.done(place, row, status="updated" if told.updated else "created")
            elif told.reason is not None:
                results.told(place, "failed", told.reason, source=told.source)
            else:
                results.told(place, Outcome.UNKNOWN.value, _UNTOLD)


async def _one_by_one(
    resource: Resource,
    records: Sequence[NewRecord],
    fetcher: Fetcher,
    results: "_Results",
) -> None:
    for place, one in enumerate(records):
        try:
            response = await fetcher.send(one.request, answering=results.begun)
        except CloudConnectError as exc:
            if not results.failed([place], exc):
                return
            continue
        row = answered_row(resource, Operation.CREATE, one.target, response)
        results.done(place, row)


def _requests(records: Sequence[NewRecord], sent: Sequence[Row], sync: Sync) -> Iterator[list[int]]:
    """The places of the records that go out together: those of one target, not too many."""
    together: dict[tuple[object, ...], list[int]] = {}
    for place, one in enumerate(records):
        where = (*sorted(one.target.items()), *map(str, shared_of(sync, sent[place])))
        together.setdefault(where, []).append(place)
    for places in together.values():
        for first in range(0, len(places), sync.max_items):
            yield places[first : first + sync.max_items]


async def _synced(
    resource: Resource,
    sync: Sync,
    target: Target,
    items: Sequence[Row],
    fetcher: Fetcher,
    *,
    begun: bool,
) -> list[Synced]:
    """Send *items* in a sync, and tell what became of each.

    Of one that only a repeat was refused nobody knows: the first attempt may have made it.
    """
    request = sync_request(resource, sync, fetcher.source, target, items)
    response, repeated = await _upserted(request, items, sync, fetcher, begun=begun)
    told = synced(items, sync, response.json, one=resource.one)
    return [Synced() if repeated and one.record is None else one for one in told]


async def _upserted(
    request: ApiRequest, items: Sequence[Row], sync: Sync, fetcher: Fetcher, *, begun: bool
) -> tuple[ApiResponse, bool]:
    """Send a sync; again if its answer is lost and a repeat finds what the first made.

    Returns:
        The answer, and whether it is a repeat's.
    """
    safe = sync.safe_for_create and all(item.get("origin_id") for item in items)
    pauses = iter(_REPEAT_PAUSES if safe else ())
    doubt: OutcomeUnknownError | None = None
    while True:
        try:
            return await fetcher.send(request, answering=begun), doubt is not None
        except OutcomeUnknownError as error:
            if (pause := next(pauses, None)) is None:
                raise
            doubt = error
        except CloudConnectError as error:
            if doubt is None:
                raise
            raise doubt from error  # this one was not carried out; the first may have been
        await asyncio.sleep(pause)


class _Results:
    """What became of each record so far; what is not told was not executed."""

    def __init__(self, count: int) -> None:
        self._rows: Final[list[Row]] = [
            {"index": place, "status": Outcome.NOT_EXECUTED.value} for place in range(count)
        ]
        self.begun = False

    def done(self, place: int, record: Row, *, status: str = "created") -> None:
        """Note a record that Procore has."""
        self.begun = True
        known = {"id": record["id"]} if "id" in record else {}
        self._rows[place] = {"index": place, **known, "status": status, "record": record}

    def failed(self, places: Sequence[int], error: CloudConnectError) -> bool:
        """Note records that failed together; return whether to go on with others.

        Raises:
            CloudConnectError: *error*, if it is about the call and nothing was done before.
        """
        rejected = isinstance(error, SourceRejectedError)
        about_it = rejected and error.status in _OF_THE_RECORD
        if not about_it and not self.begun:
            raise error
        self.begun = True
        if not rejected and error.outcome is Outcome.UNKNOWN:
            status = Outcome.UNKNOWN.value
        else:
            status = "failed" if rejected else Outcome.NOT_EXECUTED.value
        for place in places:
            self.told(place, status, error.message, source=error.body)
        return about_it

    def told(self, place: int, status: str, reason: str, *, source: object = None) -> None:
        """Note a record that Procore has not, or may have.

        Args:
            source: What Procore said of it.
        """
        self.begun = True
        said = {} if source is None else {"source": source}
        self._rows[place] = {"index": place, "status": status, "error": reason, **said}

    def stream(self) -> RowStream:
        """The results as an answer."""
        counts: dict[str, int] = {}
        for row in self._rows:
            status = str(row["status"])
            counts[status] = counts.get(status, 0) + 1
        message = ", ".join(f"{counts[name]} {words}" for name, words in _WORDS if name in counts)
        return RowStream(
            FixedRows(self._rows),
            message=f"Of {len(self._rows)} records: {message}.",
            unclear=Outcome.UNKNOWN.value in counts,
        )


_WORDS: Final = (
    ("created", "created"),
    ("updated", "updated"),
    ("failed", "failed"),
    (Outcome.UNKNOWN.value, "of unknown outcome"),
    (Outcome.NOT_EXECUTED.value, "not executed"),
)
