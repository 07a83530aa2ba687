"""How long the audit log is kept: whole files go, up to a signed checkpoint, and never silently."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cloud_connect_agent.audit.folder import AuditFolder, Segment
from cloud_connect_agent.durable import sync_dir

__all__ = ["CutPlan", "Retention", "cut"]

_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPlan:
    """What is to be deleted.

    Attributes:
        up_to: The last record that goes; a checkpoint covers it.
    """

    up_to: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The least age at which records may go, and the most bytes that they may take."""

    days: float = 400.0
    max_bytes: int = 1024 * 1024 * 1024

    def plan(self, folder: AuditFolder, *, now: float) -> CutPlan | None:
        """Return what is too old or too much; ``None`` if nothing is."""
        segments = folder.segments()
        total = sum(segment.size() for segment in segments)
        gone: list[Segment] = []
        up_to = 0
        ends = [following.first - 1 for following in segments[1:]]
        for segment, last, signed in zip(
            segments, ends, _signing_times(folder, ends), strict=False
        ):
            too_old = signed is not None and signed < now - self.days * _DAY
            if not (too_old or total > self.max_bytes):
                break
            total -= segment.size()
            gone.append(segment)
            if signed is not None:
                up_to = last
        going = tuple(one for one in gone if one.first <= up_to)
        return CutPlan(up_to=up_to, segments=going) if up_to else None


def _signing_times(folder: AuditFolder, ends: Sequence[int]) -> Iterator[float | None]:
    """Yield when each of these records was signed as the last one, reading no further than that.

    Args:
        ends: Ascending, as checkpoints stand in their file.
    """
    checkpoints = folder.each_checkpoint()
    one = next(checkpoints, None)
    for end in ends:
        while one is not None and one.seq < end:
            one = next(checkpoints, None)
        yield one.time / 1000 if one is not None and one.seq == end else None


def cut(folder: AuditFolder, plan: CutPlan) -> None:
    """Delete it, and the checkpoints that are of no use any more.

    Raises:
        OSError: If that cannot be; what is left goes the next time.
    """
    for segment in plan.segments:
        segment.path.unlink(missing_ok=True)
    sync_dir(folder.path)
    folder.keep_checkpoints(one for one in folder.each_checkpoint() if one.seq >= plan.up_to)
