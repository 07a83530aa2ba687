"""The policy file: starters to begin with, and a reader that follows its changes."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from cloud_connect_agent.policy import Access, Decision, FixedPolicy, Policy, PolicyClass
from cloud_connect_agent.policy.followed import Faults, FollowedFile
from cloud_connect_agent.policy.reading import parse_policy
from cloud_connect_agent.policy.rules import PolicyDocument
from cloud_connect_agent.starters import STARTERS
from cloud_connect_agent.strong_modes import NO_STRONG_MODES, StrongModes

__all__ = ["DatedPolicy", "PolicyFile", "starter"]

log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


def starter(policy_class: PolicyClass) -> str:
    """Return the commented policy file to begin with."""
    return STARTERS[policy_class.value]


class DatedPolicy:
    """A policy file's content, which knows the time."""

    def __init__(self, document: PolicyDocument, now: Callable[[], datetime]) -> None:
        self.document: Final = document
        self._now: Final = now

    def decide(self, access: Access) -> Decision:
        """Decide on one access as of now."""
        return self.document.decide(access, self._now())

    def summary(self) -> dict[str, object]:
        """Describe the policy for reports and people."""
        return self.document.summary()


class PolicyFile:
    """The policy in a file, re-read when it changes; whatever is wrong with it refuses.

    Without the file, only the connection test is allowed; with a broken one, nothing.

    Args:
        administered: Whether it must belong to the administrator, as for a service.
        now: The current point in time, for hours.
    """

    def __init__(
        self,
        path: Path,
        *,
        administered: bool = False,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._file: Final[FollowedFile[Policy]] = FollowedFile(
            path,
            parse=lambda text: DatedPolicy(parse_policy(text), now),
            faults=Faults(missing=_missing(path), broken=_closed),
            administered=administered,
            clock=clock,
        )
        self._now: Final = now
        self._known: Policy | None = None
        self._loaded_at: datetime | None = None

    def decide(self, access: Access) -> Decision:
        """Decide on one access by the file's content of at most a second ago."""
        return self.current().decide(access)

    def summary(self) -> dict[str, object]:
        """Describe the policy to people on this PC."""
        summary = self.current().summary()
        at = self._loaded_at
        return {**summary, "loaded_at": None if at is None else at.isoformat(timespec="seconds")}

    def told(self) -> dict[str, object]:
        """Describe the policy to the relay, which need not know what the file says."""
        summary = self.current().summary()
        if summary["problem"] is not None:
            summary["problem"] = (
                "The policy on this PC is missing or cannot be used; `cloud-connect policy show` "
                "there says why."
            )
        return summary

    def strong_modes(self) -> StrongModes:
        """Return which calls have to be signed or sealed; without a policy, nothing runs anyway."""
        current = self.current()
        if not isinstance(current, DatedPolicy):
            return NO_STRONG_MODES
        document = current.document
        return StrongModes(signatures=document.signatures, sealing=document.sealing)

    def reload(self) -> None:
        """Look at the file again at the next decision, whenever the last look was."""
        self._file.reload()

    def current(self) -> Policy:
        """Return the policy of the moment, as one unchanging value."""
        policy = self._file.current()
        if policy is not self._known:
            self._known, self._loaded_at = policy, self._now()
            log.info("policy_loaded", policy=policy.summary())
        return policy


def _missing(path: Path) -> Policy:
    return FixedPolicy(
        rule="no-policy-file",
        reason=f"There is no {path.name} on this PC, so only the connection test is allowed.",
        test_allowed=True,
    )


def _closed(problem: str) -> Policy:
    return FixedPolicy(
        rule="unreadable-policy-file",
        reason=(
            "Nothing is allowed until the policy on this PC is put right; `cloud-connect policy "
            "show` there says what is wrong with it."
        ),
        problem=f"Nothing is allowed until the policy on this PC is put right: {problem}",
        test_allowed=False,
    )
