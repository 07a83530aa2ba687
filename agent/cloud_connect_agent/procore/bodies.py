"""Reading an answer's body with limits: on its size, and on what a small one unpacks to."""

import zlib
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Final

from cloud_connect.errors import SourceUnavailableError

__all__ = ["BodyLimits", "read_body"]

_STEP: Final = 256 * 1024  # bytes unpacked at once
_FREE: Final = 1024 * 1024  # unpacked bytes up to which no ratio is suspicious
_MAX_RATIO: Final = 100  # unpacked to packed; JSON lists full of nulls reach about 50
_WINDOW: Final = {"gzip": 31, "x-gzip": 31, "deflate": 47}


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """What an answer may cost.

    Attributes:
        max_body_bytes: Of a JSON answer, unpacked.
        max_headers: Header lines of an answer.
    """

    max_body_bytes: int = 16 * 1024 * 1024  # it is held as a whole, and decoded it is larger
    max_headers: int = 200


async def read_body(
    chunks: AsyncIterable[bytes], *, encoding: str | None, limits: BodyLimits
) -> bytes:
    """Collect and unpack a body.

    Raises:
        SourceUnavailableError: If it is over a limit, which the message names, or cannot
            be unpacked.
    """
    packing = (encoding or "identity").strip().lower()
    if packing == "identity":
        plain = bytearray()
        async for chunk in chunks:
            plain += chunk
            _check_size(len(plain), limits)
        return bytes(plain)
    window = _WINDOW.get(packing)
    if window is None:
        raise SourceUnavailableError(
            f"Procore packed its answer as {packing[:40]!r}, which was not asked for."
        )
    return await _unpack(chunks, zlib.decompressobj(window), limits)


async def _unpack(
    chunks: AsyncIterable[bytes], unpacker: "zlib._Decompress", limits: BodyLimits
) -> bytes:
    body, packed = bytearray(), 0
    try:
        async for chunk in chunks:
            packed += len(chunk)
            rest = chunk
            while rest:
                body += unpacker.decompress(rest, _STEP)
                rest = unpacker.unconsumed_tail
                _check_size(len(body), limits)
                if len(body) > _FREE and len(body) > packed * _MAX_RATIO:
                    raise SourceUnavailableError(
                        f"Procore's packed answer unpacks to more than {_MAX_RATIO} times its size."
                    )
        body += unpacker.flush()
    except zlib.error as exc:
        raise SourceUnavailableError("Procore's packed answer is damaged.") from exc
    if packed and not unpacker.eof:
        raise SourceUnavailableError("Procore's packed answer ends in the middle.")
    return bytes(body)


def _check_size(size: int, limits: BodyLimits) -> None:
    if size > limits.max_body_bytes:
        raise SourceUnavailableError(
            f"Procore's answer is over the limit of {limits.max_body_bytes} bytes."
        )
