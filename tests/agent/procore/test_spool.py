"""Tests of ``cloud_connect_agent.procore.files.spool``."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_connect.errors import BodyTooLargeError
from cloud_connect_agent.procore.files import spool
from cloud_connect_agent.procore.files.spool import Spool


async def pieces(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(parts=st.lists(st.binary(max_size=50), max_size=20), block=st.integers(1, 40))
async def test_any_file_is_kept_and_hashed_piece_by_piece(
    tmp_path: Path, parts: list[bytes], block: int
) -> None:
    whole = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "_SEGMENT_BYTES", 64)
        patch.setattr(spool, "_BLOCK", block)
        async with Spool(tmp_path / "spool", max_bytes=lambda: 10_000).keep(
            pieces(parts), advice="Try."
        ) as kept:
            assert (kept.size, kept.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
            read = b""
            for one in kept.segments:
                piece = b"".join([part async for part in kept.read(one.offset, one.size)])
                assert len(piece) == one.size
                assert hashlib.sha256(piece).hexdigest() == one.sha256
                assert hashlib.md5(piece, usedforsecurity=False).hexdigest() == one.md5
                read += piece
            assert read == whole
            assert all(one.size == 64 for one in kept.segments[:-1])
            assert list((tmp_path / "spool").iterdir()) == []  # nobody else can open it


async def test_a_file_that_shrank_is_not_read_beyond_its_end(tmp_path: Path) -> None:
    async with Spool(tmp_path, max_bytes=lambda: 100).keep(pieces([b"abc"]), advice="Try.") as kept:
        with pytest.raises(EOFError):
            _ = [part async for part in kept.read(2, 5)]


async def test_all_files_together_have_one_limit_and_give_their_room_back(tmp_path: Path) -> None:
    keeping = Spool(tmp_path, max_bytes=lambda: 100)
    async with keeping.keep(pieces([b"x" * 60]), advice="Try."):
        with pytest.raises(BodyTooLargeError, match=r"max_spool_bytes.*Try\."):
            async with keeping.keep(pieces([b"x" * 30, b"x" * 30]), advice="Try."):
                pytest.fail("there was no room")
        async with keeping.keep(pieces([b"x" * 40]), advice="Try."):
            pass
    async with keeping.keep(pieces([b"x" * 100]), advice="Try.") as kept:
        assert kept.size == 100
