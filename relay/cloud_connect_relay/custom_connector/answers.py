"""The first answer to a request, kept for whoever sends the request again."""

import zlib
from typing import TYPE_CHECKING, Any, Final

import orjson

from cloud_connect_relay.custom_connector.sealing import Sealer
from cloud_connect_relay.storage.custom_requests import CustomRequests

if TYPE_CHECKING:
    from cloud_connect_relay.custom_connector.entrance import Visit
    from cloud_connect_relay.identity import Pepper
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.custom_requests import SeenRequest

__all__ = ["MAX_KEPT_BYTES", "FirstAnswers"]

MAX_KEPT_BYTES: Final = 64 * 1024 * 1024  # of one registration's answers, beyond a busy hour
_MAX_ANSWER_BYTES: Final = 256 * 1024  # of one, compressed; what a write answers is far below
_MAX_PLAIN_BYTES: Final = 2 * 1024 * 1024  # beyond, compressing would hold everybody else up
_NOT_KEPT: Final = {
    "success": False,
    "message": (
        "This request was answered before and is not carried out again; its answer is not kept"
        " any more. Send a new request."
    ),
    "data": {"code": "already_answered", "outcome": "completed", "retry_safe": False},
    "items": [],
    "resultCount": "0",
}


class FirstAnswers:
    """Keeps answers, sealed: they hold the source's data, which no database dump shall tell."""

    def __init__(self, storage: "Storage", pepper: "Pepper") -> None:
        self._storage: Final = storage
        self._sealer: Final = Sealer(pepper, "answers")

    async def keep(self, visit: "Visit", result: bytes) -> None:
        """Keep the ``queryResult`` of a request, durably."""
        packed = b"" if len(result) > _MAX_PLAIN_BYTES else zlib.compress(result, level=1)
        if not 0 < len(packed) <= _MAX_ANSWER_BYTES:
            packed = zlib.compress(orjson.dumps(_NOT_KEPT))
        sealed = self._sealer.seal(packed, place=_place(visit))
        await self._requests(visit).answer(visit.request_hash, sealed)

    async def find(self, visit: "Visit") -> "SeenRequest | None":
        """Return what is known of the request."""
        return await self._requests(visit).find(visit.request_hash)

    def opened(self, visit: "Visit", answer: bytes) -> dict[str, Any]:
        """Return the ``queryResult`` that was kept."""
        if not answer:
            return dict(_NOT_KEPT)
        packed = self._sealer.open(answer, place=_place(visit))
        result: dict[str, Any] = orjson.loads(zlib.decompress(packed))
        return result

    def _requests(self, visit: "Visit") -> CustomRequests:
        return CustomRequests(self._storage, visit.connector.id)


def _place(visit: "Visit") -> str:
    return f"{visit.connector.id} {visit.request_hash}"
