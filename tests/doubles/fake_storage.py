"""A storage host on loopback, beside a scriptable Procore: it keeps files and cuts them off."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from doubles.fake_procore import FakeHost, Reply, Seen

__all__ = ["CONTENT", "FakeStorage"]

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class FakeStorage(FakeHost):
    """Serves one file at every path; refuses whoever shows a token.

    Attributes:
        cuts: After how many bytes to drop the next answers; ``None`` is not at all.
        resumable: Whether it takes ranges.
        stored: Bodies that were sent to it, by path.
    """

    def __init__(self) -> None:
        super().__init__(self._serve)
        self.content = CONTENT
        self.etag = '"v1"'
        self.cuts: list[int | None] = []
        self.resumable = True
        self.stored: dict[str, bytes] = {}

    @property
    def leaked(self) -> bool:
        """Whether anybody showed it a token."""
        return any("authorization" in seen.headers for seen in self.seen)

    def _serve(self, seen: Seen) -> Reply:
        if "authorization" in seen.headers:
            return Reply(status=400, body=b"<Error>Only one auth mechanism allowed</Error>")
        if seen.method in {"PUT", "POST"}:
            self.stored[seen.target] = seen.body
            return Reply(status=200, headers={"etag": f'"{len(self.stored)}"'})
        headers = {
            "content-type": "application/pdf",
            "content-disposition": 'inline; filename="plan.pdf"',
            "etag": self.etag,
        }
        cut = self.cuts.pop(0) if self.cuts else None
        match = _RANGE.fullmatch(seen.headers.get("range", "")) if self.resumable else None
        current = seen.headers.get("if-range", self.etag) == self.etag
        if seen.headers.get("if-none-match") == self.etag:
            return Reply(status=304, headers={"etag": self.etag})
        if match is None or not current:
            return Reply(body=self.content, headers=headers, cut=cut)
        first, size = int(match[1]), len(self.content)
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        headers["content-range"] = f"bytes {first}-{last}/{size}"
        return Reply(status=206, body=self.content[first : last + 1], headers=headers, cut=cut)

    def leads_here(self, path: str = "/file?sig=secret", status: int = 302) -> Reply:
        """An answer that points to a path of this host."""
        return Reply(status=status, headers={"location": f"{self.url}{path}"})


@asynccontextmanager
async def fake_storage() -> AsyncIterator[FakeStorage]:
    storage = FakeStorage()
    async with storage.serve():
        yield storage
