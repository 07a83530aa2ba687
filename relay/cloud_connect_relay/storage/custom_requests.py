"""Requests of custom connectors that were let in: none is carried out twice, on no node."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud_connect_relay.storage.tables import custom_bags, custom_connectors, custom_requests

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["Admission", "CustomRequests", "SeenRequest"]

_MAX_CLAIMS: Final = 5  # in a row, while others come with the same request at the same moment
_ANSWER: Final = (
    update(custom_requests)
    .where(
        custom_requests.c.registration_id == bindparam("this_registration"),
        custom_requests.c.request_hash == bindparam("this_request"),
    )
    .values(answer=bindparam("new_answer"))
)


class Admission(Enum):
    """What becomes of a request."""

    FRESH = auto()  # nobody sent it before: it is to be carried out
    REPEATED = auto()  # its id came before: it gets the first answer
    REPLAYED = auto()  # its sealed settings came before, with another id


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """A request that was let in.

    Attributes:
        answer: Sealed; ``None`` while there is none.
    """

    at: float
    answer: bytes | None


class CustomRequests:
    """The requests of one registration."""

    def __init__(self, storage: "Storage", registration_id: str) -> None:
        self._storage: Final = storage
        self._registration_id: Final = registration_id

    async def admit(
        self, request_hash: str, *, last_block: bytes | None, at: float, since: float
    ) -> Admission:
        """Let a request in, durably, unless it or its sealed settings came before.

        Args:
            last_block: The end of the sealed settings; ``None`` where each message has the
                same.
            since: When a request id begins to be known; older ones are forgotten.
        """
        for _ in range(_MAX_CLAIMS):
            try:
                return await self._admit(request_hash, last_block=last_block, at=at, since=since)
            except IntegrityError:
                continue  # another node let the same in meanwhile: look again
        return Admission.REPLAYED

    async def find(self, request_hash: str) -> SeenRequest | None:
        """Return the request; ``None`` if it was forgotten."""
        statement = select(custom_requests.c.at, custom_requests.c.answer).where(
            self._is(request_hash)
        )
        async with self._storage.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else SeenRequest(at=row.at, answer=row.answer)

    async def answer(self, request_hash: str, answer: bytes) -> None:
        """Keep the sealed answer of a request, durably."""
        await self._storage.record(
            _ANSWER,
            {
                "this_registration": self._registration_id,
                "this_request": request_hash,
                "new_answer": answer,
            },
        )

    async def _admit(
        self, request_hash: str, *, last_block: bytes | None, at: float, since: float
    ) -> Admission:
        async with self._storage.write() as connection:
            registered = select(custom_connectors.c.id).where(
                custom_connectors.c.id == self._registration_id
            )
            if (await connection.execute(registered.with_for_update(read=True))).first() is None:
                return Admission.REPLAYED  # it was deleted a moment ago
            known = select(custom_requests.c.at).where(self._is(request_hash))
            row = (await connection.execute(known)).one_or_none()
            is_known = row is not None and row.at > since
            if last_block is not None:
                seen = select(custom_bags.c.request_hash).where(
                    custom_bags.c.registration_id == self._registration_id,
                    custom_bags.c.last_block == last_block,
                )
                brought_by = (await connection.execute(seen)).scalar_one_or_none()
                if brought_by is None:
                    await connection.execute(
                        insert(custom_bags).values(
                            registration_id=self._registration_id,
                            last_block=last_block,
                            request_hash=request_hash,
                        )
                    )
                elif brought_by != request_hash or not is_known:
                    return Admission.REPLAYED
            if is_known:
                return Admission.REPEATED
            if row is not None:
                await connection.execute(delete(custom_requests).where(self._is(request_hash)))
            await connection.execute(
                insert(custom_requests).values(
                    registration_id=self._registration_id, request_hash=request_hash, at=at
                )
            )
        return Admission.FRESH

    def _is(self, request_hash: str) -> "ColumnElement[bool]":
        return and_(
            custom_requests.c.registration_id == self._registration_id,
            custom_requests.c.request_hash == request_hash,
        )

    @staticmethod
    async def forget(storage: "Storage", *, before: float, max_kept_bytes: int) -> int:
        """Delete the requests of all registrations that came before *before*; return how many.

        Of what is left, each registration keeps its newest answers, up to *max_kept_bytes*.
        """
        size = func.coalesce(func.length(custom_requests.c.answer), 0)
        kept = select(
            custom_requests.c.registration_id,
            custom_requests.c.request_hash,
            func.sum(size)
            .over(
                partition_by=custom_requests.c.registration_id,
                order_by=(custom_requests.c.at.desc(), custom_requests.c.request_hash),
            )
            .label("kept_bytes"),
        ).subquery()
        too_many = select(kept.c.request_hash).where(
            kept.c.kept_bytes > max_kept_bytes,
            kept.c.registration_id == custom_requests.c.registration_id,
            kept.c.request_hash == custom_requests.c.request_hash,
        )
        async with storage.write() as connection:
            gone = await connection.execute(
                delete(custom_requests).where(custom_requests.c.at < before)
            )
            await connection.execute(
                update(custom_requests).where(too_many.exists()).values(answer=b"")
            )
        return gone.rowcount
