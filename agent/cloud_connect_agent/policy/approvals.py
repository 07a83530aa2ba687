"""First uses that wait for this PC's administrator, and what was decided on them.

The agent writes down what waits, in its state folder; only ``cloud-connect policy approve`` and
``deny`` write what was decided, beside the policy and under the same protection.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.durable import write_durably
from cloud_connect_agent.policy.access import Access, Verb
from cloud_connect_agent.policy.followed import Faults, FollowedFile

__all__ = [
    "MAX_WAITING",
    "Approvals",
    "Decided",
    "Use",
    "Verdict",
    "Verdicts",
    "Waiting",
    "WaitingList",
    "first_use",
]

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 100  # a person reads them; whoever asks for more is not a form
_MAX_RAW_WAITING: Final = MAX_WAITING // 2
_MAX_VERDICTS: Final = 10_000
_MAX_WHAT: Final = 300  # characters of a path
_SEGMENT: Final = 40  # characters of a segment that looks like a name
What = Annotated[str, Field(max_length=_MAX_WHAT, pattern=r"^[\x21-\x7e]*$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Verdict(StrEnum):
    """What the administrator decided."""

    APPROVED = "approved"
    DENIED = "denied"


class Use(_Model):
    """A verb with a resource, or with a raw path whose ids are left out."""

    verb: Verb
    what: What

    @property
    def id(self) -> str:
        """How a person refers to it: made of what it says, so that nothing else can take it."""
        return hashlib.sha256(f"{self.verb.value}\n{self.what}".encode()).hexdigest()[:12]

    def __str__(self) -> str:
        """Describe it in words."""
        return f"{self.verb.value} of {self.what}" if self.what else self.verb.value


class Waiting(Use):
    """A first use that waits."""

    since: AwareDatetime


class WaitingList(_Model):
    """All that waits, oldest first."""

    waiting: tuple[Waiting, ...] = Field(default=(), max_length=MAX_WAITING)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the list; what cannot be read is empty, and fills again with the next calls."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return cls()


class Decided(Use):
    """A use that was decided on."""

    verdict: Verdict
    at: AwareDatetime


class Verdicts(_Model):
    """What this PC's administrator decided."""

    decided: tuple[Decided, ...] = Field(default=(), max_length=_MAX_VERDICTS)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the file's text.

        Raises:
            ConfigurationError: If it is no such file.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as exc:
            raise ConfigurationError(
                "approvals.json is damaged; remove it and approve again what waits."
            ) from exc

    def of(self, use: Use) -> Verdict | None:
        """What was decided on *use*; ``None`` if nothing was."""
        for one in self.decided:
            if (one.verb, one.what) == (use.verb, use.what):
                return one.verdict
        return None

    def with_(self, use: Use, verdict: Verdict, at: datetime) -> "Verdicts":
        """The same with one more verdict, which takes the place of an earlier one."""
        others = tuple(one for one in self.decided if (one.verb, one.what) != (use.verb, use.what))
        return Verdicts(
            decided=(*others, Decided(verb=use.verb, what=use.what, verdict=verdict, at=at))
        )


def first_use(access: Access) -> Use:
    """What of an access has to be approved once."""
    if access.path is not None:
        return Use(verb=access.verb, what=_without_ids(access.path))
    return Use(verb=access.verb, what=access.resource or "")


def _without_ids(path: str) -> str:
    """A raw path whose ids, and what might be one, count as the same."""
    segments = [
        "*" if any(c.isdigit() for c in part) or len(part) > _SEGMENT else part
        for part in path.strip("/").split("/")[2:]
    ]
    head = path.strip("/").split("/")[:2]
    plain = "".join(c if "!" <= c <= "~" else "*" for c in "/".join([*head, *segments]))
    return plain if len(plain) <= _MAX_WHAT else f"{plain[: _MAX_WHAT - 1]}*"


class Approvals:
    """What waits and what was decided, as the running agent sees it.

    Args:
        decided_file: Written by the administrator's commands only.
        waiting_file: Written here.
    """

    def __init__(
        self,
        *,
        decided_file: Path,
        waiting_file: Path,
        administered: bool = False,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now: Final = now
        self._waiting_file: Final = waiting_file
        self._problem: str | None = None
        self._unwritten = False
        self._verdicts: Final = FollowedFile(
            decided_file,
            parse=self._parsed,
            faults=Faults(missing=_Index({}), broken=lambda problem: _Index({}, problem)),
            administered=administered,
            clock=clock,
        )
        known = WaitingList.load(waiting_file).waiting
        self._waiting: Final = {(one.verb, one.what): one for one in known}

    @property
    def problem(self) -> str | None:
        """Why nothing counts as approved, if that is so."""
        return self._verdicts.current().problem or self._problem

    @property
    def waiting(self) -> int:
        """How many first uses wait; what was decided since does no more."""
        known = self._verdicts.current().by_use
        return sum(key not in known for key in self._waiting)

    def verdict(self, use: Use) -> Verdict | None:
        """What was decided on *use*, ``None`` if nothing was."""
        return self._verdicts.current().by_use.get((use.verb, use.what))

    def reload(self) -> None:
        """Look at what was decided again."""
        self._verdicts.reload()

    def wait(self, use: Use) -> bool:
        """Put a use on the list of what waits; return whether there was room for it."""
        key = (use.verb, use.what)
        if key in self._waiting:
            return True
        self._drop_decided()
        raw = sum(verb.raw for verb, _ in self._waiting)
        # Paths can be made up without end; they must not keep out what forms ask for.
        if len(self._waiting) >= MAX_WAITING or (use.verb.raw and raw >= _MAX_RAW_WAITING):
            return False
        self._waiting[key] = Waiting(verb=use.verb, what=use.what, since=self._now())
        self._unwritten = True
        log.warning("approval_awaited", verb=use.verb.value, what=use.what, id=use.id)
        return True

    def write(self) -> None:
        """Write down what waits, if that has changed."""
        if not self._unwritten:
            return
        self._unwritten = False
        listed = WaitingList(waiting=tuple(self._waiting.values()))
        try:
            write_durably(self._waiting_file, listed.model_dump_json(indent=1).encode())
        except OSError as exc:
            self._unwritten = True
            self._problem = f"What waits for approval cannot be written: {exc.strerror}."
        else:
            self._problem = None

    def _drop_decided(self) -> None:
        known = self._verdicts.current().by_use
        for key in [key for key in self._waiting if key in known]:
            del self._waiting[key]

    @staticmethod
    def _parsed(text: str) -> "_Index":
        return _Index({(one.verb, one.what): one.verdict for one in Verdicts.parse(text).decided})


class _Index:
    """Verdicts by use, or why there are none."""

    def __init__(
        self, by_use: Mapping[tuple[Verb, str], Verdict], problem: str | None = None
    ) -> None:
        self.by_use: Final = by_use
        self.problem: Final = problem
