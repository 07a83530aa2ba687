"""What is stored, and the links by which records point at it."""

from procore_simulator.bodies import UploadedPart
from procore_simulator.clock import SimulatorClock
from procore_simulator.messages import JsonObject
from procore_simulator.storage.disk import Blob, Disk, Piece, made_blob
from procore_simulator.storage.signing import Signer

__all__ = ["CONTENT", "LINK_PATH", "MADE", "Objects"]

CONTENT = "_content"
"""The key of a row or attachment that names its stored object; never answered."""
LINK_PATH = "/rest/v1.0/simulator/files"
"""Where links of records lead on the API origin, which redirects to the storage origin."""
MADE = "made-"
"""How the names of made-up objects begin; their size follows."""

_MAX_RECENT = 50_000
"""Signed addresses remembered."""


class Objects:
    """The objects of one environment by name, and signed addresses of them."""

    def __init__(
        self, environment: str, disk: Disk, signer: Signer, *, base_url: str, clock: SimulatorClock
    ) -> None:
        self.environment = environment
        self.disk = disk
        self.signer = signer
        self.base_url = base_url
        """The storage origin."""
        self._clock = clock
        self._blobs: dict[str, Blob] = {}
        self._recent: dict[tuple[str | float, ...], tuple[str, float]] = {}

    def find(self, name: str) -> Blob | None:
        """Return an object's content."""
        size = name.removeprefix(MADE)
        if size != name:
            return made_blob(int(size)) if size.isdecimal() else None
        return self._blobs.get(name)

    def put(self, name: str, *pieces: Piece) -> Blob:
        """Store pieces, in their order, as one object."""
        etag = pieces[0].md5 if len(pieces) == 1 else f"{pieces[0].md5}-{len(pieces)}"
        blob = Blob(size=sum(piece.size for piece in pieces), etag=etag, pieces=pieces)
        self._blobs[name] = blob
        return blob

    def forget(self, name: str) -> None:
        """Forget one object and its bytes."""
        blob = self._blobs.pop(name, None)
        for piece in blob.pieces if blob is not None else ():
            self.disk.discard(piece)

    def keep(self, part: UploadedPart) -> JsonObject:
        """Store a file of a multipart body; return what its record says of it.

        Raises:
            DiskFullError: If no more may be kept.
        """
        name = f"direct-{self.signer.digest(f'{len(self._blobs)}:{part.sha256}')[:26]}"
        blob = self.put(name, self.disk.keep(part.data))
        return {
            CONTENT: name,
            "size": blob.size,
            "name": part.filename,
            "content_type": part.content_type or "application/octet-stream",
        }

    def clear(self) -> None:
        """Forget every object and its bytes."""
        for name in list(self._blobs):
            self.forget(name)

    def address(self, name: str, *, filename: str, content_type: str, seconds: float) -> str:
        """Return a signed address on the storage origin."""
        facts = {"filename": filename, "content_type": content_type}
        return self._signed(self.base_url, f"/{self.environment}/objects/{name}", facts, seconds)

    def link(
        self,
        api_url: str,
        name: str,
        *,
        filename: str,
        content_type: str,
        hops: int,
        seconds: float,
    ) -> str:
        """Return a signed link on the API origin that redirects *hops* times."""
        facts = {"filename": filename, "content_type": content_type, "hops": str(hops)}
        return self._signed(api_url, f"{LINK_PATH}/{name}", facts, seconds)

    def _signed(self, base_url: str, path: str, facts: dict[str, str], seconds: float) -> str:
        # The same until half of its time is over, so that a list read twice is the same twice.
        now = self._clock.now()
        key: tuple[str | float, ...] = (base_url, path, *facts.values(), seconds)
        found = self._recent.get(key)
        if found is None or not 0 <= now - found[1] < seconds / 2:
            if len(self._recent) >= _MAX_RECENT:
                self._recent.clear()
            found = base_url + self.signer.sign(path, facts, expires_at=now + seconds), now
            self._recent[key] = found
        return found[0]
