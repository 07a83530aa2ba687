import asyncio

from cloud_connect.link import close_link
from doubles.memory_link import MemoryLink


async def test_close_reason_is_cut_to_what_a_close_frame_holds() -> None:
    link = MemoryLink()
    await close_link(link, code=1002, reason="é" * 200, within=1)
    assert link.closed_with == (1002, "?" * 123)


class StuckLink(MemoryLink):
    async def close(self, code: int = 1000, reason: str = "") -> None:
        del code, reason
        await asyncio.Event().wait()


class GoneLink(MemoryLink):
    async def close(self, code: int = 1000, reason: str = "") -> None:
        raise ConnectionResetError(code, reason)


async def test_link_that_does_not_close_is_left() -> None:
    await close_link(StuckLink(), code=1000, reason="", within=0.01)


async def test_link_that_is_gone_is_left() -> None:
    await close_link(GoneLink(), code=1000, reason="", within=1)
