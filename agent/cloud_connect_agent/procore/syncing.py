"""Pure: Procore's bulk upsert, as a request, and what its answer says of each record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from cloud_connect.calls import Source
from cloud_connect_agent.procore.catalog import Resource, Sync, SyncAnswer
from cloud_connect_agent.procore.failures import read_failure, sentence
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.planner import Target, located
from cloud_connect_agent.procore.rows import Row

__all__ = ["Synced", "marked", "shared_of", "sync_request", "synced"]

_ORIGIN: Final = "origin_id"
_TIMES: Final = ("created_at", "updated_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What became of one record.

    Attributes:
        record: As Procore has it now; ``None`` if it has not.
        updated: Whether it was there before.
        reason: Why it was refused; ``None`` with no *record* means that the answer does not
            tell.
        source: What Procore said of it.
    """

    record: Row | None = None
    updated: bool = False
    reason: str | None = None
    source: object = None


def marked(items: Sequence[Row], sync: Sync, seed: str | None, places: Sequence[int]) -> list[Row]:
    """Give records an ``origin_id`` of ours, where that makes a repeat of the request safe.

    Args:
        seed: What is the same for each repeat of the call; ``None`` if nothing is.
        places: Where each of *items* stands in the call.
    """
    if not sync.safe_for_create or seed is None:
        return list(items)
    return [
        item if item.get(_ORIGIN) else {**item, _ORIGIN: f"cc-{seed}-{place}"}
        for place, item in zip(places, items, strict=True)
    ]


def sync_request(
    resource: Resource, sync: Sync, source: Source, target: Target, items: Sequence[Row]
) -> ApiRequest:
    """The request that creates *items*, or changes those that are there.

    Args:
        items: Alike in what the sync sends as query parameters.
    """
    ids = located(source, target)
    path, query = sync.filled(ids)

    def typed(names: Sequence[str]) -> Row:
        return {name: resource.scope_type(name).typed(ids[name]) for name in names}

    shared = [(name, str(value)) for name, value in shared_of(sync, items[0])] if items else []
    sent = [
        {**typed(sync.each), **{k: v for k, v in item.items() if k not in sync.query_fields}}
        for item in items
    ]
    return ApiRequest(
        method=sync.method or "PATCH",
        path=path,
        query=(*query, *shared),
        json={**typed(sync.body), sync.key: sent},
        about=f"{len(items)} new {resource.many}",
    )


def shared_of(sync: Sync, item: Row) -> tuple[tuple[str, object], ...]:
    """What records of one request must have in common with *item*."""
    return tuple((name, item[name]) for name in sync.query_fields if item.get(name) is not None)


def synced(
    items: Sequence[Row], sync: Sync, answer: object, *, one: str = "record"
) -> list[Synced]:
    """Tell from a sync's answer what became of each of *items*.

    Procore echoes what it refused, and lists what it took without saying which is which: an
    ``origin_id`` tells, else the first one that does not contradict what was sent. Where
    that leaves a doubt, the answer is that nobody knows.

    Args:
        one: What one of them is called.
    """
    entities, errors = _parts(sync, answer)
    told: list[Synced | None] = [None] * len(items)
    for error in errors:
        place = _place_of(error, items, told)
        if place is not None:
            told[place] = _refused(error, one)
    open_places = [place for place, known in enumerate(told) if known is None]
    for place, entity in _pairs(open_places, items, entities):
        told[place] = Synced(record=entity, updated=_was_there(items[place], entity))
    return [known or Synced() for known in told]


def _refused(error: Row, one: str) -> Synced:
    said = {"errors": error.get("errors")}
    reason = read_failure(422, {}, orjson.dumps(said)).message
    return Synced(reason=sentence(f"Procore refused the {one}: {reason}"), source=said)


def _parts(sync: Sync, answer: object) -> tuple[list[Row], list[Row]]:
    """What was taken, and what was refused."""
    if sync.answer is SyncAnswer.ENTITIES and isinstance(answer, dict):
        return _rows(answer.get("entities")), _rows(answer.get("errors"))
    rows = _rows(answer)
    return (
        [row for row in rows if not row.get("errors")],
        [row for row in rows if row.get("errors")],
    )


def _rows(value: object) -> list[Row]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _place_of(error: Row, items: Sequence[Row], told: Sequence[Synced | None]) -> int | None:
    """Which of the records that nothing is told of yet was refused with *error*."""
    open_places = [place for place, one in enumerate(told) if one is None]
    for place in open_places:
        if all(_same(error.get(name), items[place][name]) for name in items[place]):
            return place
    return next((place for place in open_places if _agrees(items[place], error)), None)


def _pairs(
    places: Sequence[int], items: Sequence[Row], entities: Sequence[Row]
) -> Iterator[tuple[int, Row]]:
    waiting = list(entities)
    by_origin = {str(row[_ORIGIN]): row for row in entities if row.get(_ORIGIN)}
    for place in places:
        origin = items[place].get(_ORIGIN)
        if origin is not None and str(origin) in by_origin:
            entity: Row | None = by_origin[str(origin)]
        else:
            entity = next((row for row in waiting if _agrees(items[place], row)), None)
        if entity is not None and any(row is entity for row in waiting):
            waiting = [row for row in waiting if row is not entity]
            yield place, entity


def _agrees(item: Row, entity: Row) -> bool:
    """Whether nothing plain of *item* is otherwise in *entity*."""
    return all(
        name not in entity or entity[name] is None or _same(entity[name], value)
        for name, value in item.items()
        if not isinstance(value, (dict, list)) and not isinstance(entity.get(name), (dict, list))
    )


def _same(one: object, other: object) -> bool:
    """Whether two values are the same, however they are written."""
    return one == other or str(one).strip().lower() == str(other).strip().lower()


def _was_there(item: Mapping[str, object], entity: Row) -> bool:
    """Whether an entity looks changed rather than made: only an ``origin_id`` finds one."""
    made, changed = (entity.get(name) for name in _TIMES)
    return bool(item.get(_ORIGIN) and made and changed and made != changed)
