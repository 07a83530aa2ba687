"""Uploads of one environment: declared, received segment by segment, completed, attached."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from procore_simulator.clock import SimulatorClock
from procore_simulator.failures import ApiError, conflict, forbidden, invalid
from procore_simulator.storage.disk import Piece
from procore_simulator.storage.objects import Objects

__all__ = ["START_SECONDS", "Flow", "Segment", "Status", "Upload", "Uploads"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""The alphabet of the ULIDs by which uploads are named."""
START_SECONDS = 3600
"""A v1 upload must be sent within an hour of its creation."""
_WEEK = 7 * 24 * 3600
_DAY = 24 * 3600
_FAILING_NAME = "infected"
"""A unified upload whose file name has this word in it fails its scan."""


class Flow(Enum):
    """The three generations of uploads."""

    SIMPLE = "one multipart POST"
    SEGMENTED = "v1.1: a PUT for each segment, then a PATCH with their etags"
    UNIFIED = "v2.1: the same with part_etags, and a file that becomes available"


class Status:
    """The words for where an upload stands."""

    READY = "ready"
    RECEIVING = "receiving"
    COMPLETE = "complete"
    AVAILABLE = "available"
    FAILED = "failed"


@dataclass(slots=True, kw_only=True)
class Segment:
    """A part of a file as it was declared, and what came of it."""

    size: int
    sha256: str
    md5: str | None
    headers: dict[str, str]
    """What its PUT must carry, exactly."""
    piece: Piece | None = None
    etag: str | None = None
    """As given when the upload was completed; ``None`` is not yet."""


@dataclass(slots=True, kw_only=True)
class Upload:
    """One file on its way into a record."""

    id: str
    flow: Flow
    owner: str
    """The key of the principal that created it, who alone may use it."""
    company_id: int
    project_id: int | None
    filename: str
    content_type: str
    segments: list[Segment]
    created_at: float
    expires_at: float
    status: str = Status.READY
    finished_at: float | None = None
    size: int = 0
    attached: bool = False
    fields: dict[str, str] = field(default_factory=dict)

    def takes_bytes(self) -> bool:
        """Whether segments may still come in."""
        return self.finished_at is None and not self.attached


class Uploads:
    """The uploads of one environment."""

    def __init__(
        self, objects: Objects, *, clock: SimulatorClock, scan_seconds: Callable[[], float]
    ) -> None:
        self.objects = objects
        self._clock = clock
        self._scan_seconds = scan_seconds
        self._uploads: dict[str, Upload] = {}

    def create(
        self,
        flow: Flow,
        *,
        owner: str,
        company_id: int,
        project_id: int | None,
        filename: str,
        content_type: str,
        segments: list[Segment],
    ) -> Upload:
        """Declare an upload."""
        now = self._clock.now()
        upload = Upload(
            id="01" + "".join(secrets.choice(_ALPHABET) for _ in range(24)),
            flow=flow,
            owner=owner,
            company_id=company_id,
            project_id=project_id,
            filename=filename,
            content_type=content_type,
            segments=segments,
            created_at=now,
            expires_at=now + (_DAY if flow is Flow.UNIFIED else _WEEK),
        )
        self._forget_expired(now)
        self._uploads[upload.id] = upload
        return upload

    def peek(self, upload_id: str) -> Upload | None:
        """Return an upload, whoever asks, or ``None``."""
        return self._uploads.get(upload_id)

    def find(self, upload_id: str, *, owner: str) -> Upload:
        """Return an upload to its owner.

        Raises:
            ApiError: 404 if there is none, 403 if it is another's, 410 if it is gone.
        """
        upload = self._uploads.get(upload_id)
        if upload is None:
            message = "Upload not found"
            raise ApiError(
                404, {"code": 404, "message": message}, message=message, reason="UPLOAD_NOT_FOUND"
            )
        if upload.owner != owner:
            raise forbidden("This upload was created by another user.")
        if upload.expires_at < self._clock.now() or upload.attached:
            message = "The upload is no longer available"
            raise ApiError(
                410, {"code": 410, "message": message}, message=message, reason="UPLOAD_GONE"
            )
        self._settle(upload)
        return upload

    def claim(self, upload_id: str, *, owner: str) -> Upload:
        """Return an upload that a record may take in.

        Raises:
            ApiError: As ``find``; also 422 without its bytes, 409 before it is available.
        """
        upload = self.find(upload_id, owner=owner)
        if upload.status not in {Status.COMPLETE, Status.AVAILABLE}:
            if upload.status == Status.FAILED:
                raise invalid({"upload": ["has failed"]})
            raise invalid({"upload": ["has not been completed"]})
        if upload.flow is Flow.UNIFIED and upload.status != Status.AVAILABLE:
            raise conflict("The upload is not available yet")
        return upload

    def finish(self, upload: Upload, *pieces: Piece) -> None:
        """Take in the pieces: the file is whole."""
        blob = self.objects.put(upload.id, *pieces)
        upload.size = blob.size
        upload.status = Status.COMPLETE
        upload.finished_at = self._clock.now()
        self._settle(upload)

    def clear(self) -> None:
        """Forget every upload and its bytes."""
        for upload in self._uploads.values():
            self._discard(upload)
        self._uploads.clear()

    def _settle(self, upload: Upload) -> None:
        if upload.flow is not Flow.UNIFIED or upload.finished_at is None:
            return
        if self._clock.now() >= upload.finished_at + self._scan_seconds():
            failed = _FAILING_NAME in upload.filename.lower()
            upload.status = Status.FAILED if failed else Status.AVAILABLE

    def _forget_expired(self, now: float) -> None:
        # The upload itself stays known, so that asking for it answers 410.
        for upload in self._uploads.values():
            if upload.expires_at < now and not upload.attached:
                self._discard(upload)

    def _discard(self, upload: Upload) -> None:
        if upload.attached:
            return
        for segment in upload.segments:
            if segment.piece is not None:
                self.objects.disk.discard(segment.piece)
                segment.piece = None
        self.objects.forget(upload.id)
