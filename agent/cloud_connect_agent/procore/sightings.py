"""Tells the log once of each way in which Procore behaves where its documentation is silent."""

from typing import Final

import structlog

__all__ = ["Sightings"]

log = structlog.get_logger(__name__)

_MAX_SEEN: Final = 1_000  # sightings that are remembered; more are not told


class Sightings:
    """What was seen, so that it is told once: it is a fact about Procore, not about a call."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()

    def note(self, event: str, **facts: str) -> None:
        """Tell of a sighting, if it is the first of its kind."""
        key = (event, *(f"{name}={value}" for name, value in sorted(facts.items())))
        if key not in self._seen and len(self._seen) < _MAX_SEEN:
            self._seen.add(key)
            log.info(event, **facts)
