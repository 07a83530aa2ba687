"""The policy file: starters to begin with, and a reader that follows its changes."""

import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.policy import (
    Access,
    Decision,
    FixedPolicy,
    Policy,
    PolicyClass,
    PolicyDocument,
    parse_policy,
)
from cloud_connect_agent.starters import STARTERS
from cloud_connect_agent.strong_modes import NO_STRONG_MODES, StrongModes

__all__ = ["PolicyFile", "starter"]

log = structlog.get_logger(__name__)

_RECHECK_SECONDS = 1.0  # an administrator's change holds after that at the latest
_MAX_BYTES = 1024 * 1024  # thousands of rules; more is a mistake, and would slow each decision

_Signature = tuple[int, int, int, int, int]


def starter(policy_class: PolicyClass) -> str:
    """Return the commented policy file to begin with."""
    return STARTERS[policy_class.value]


class PolicyFile:
    """The policy in a file, re-read when it changes; whatever is wrong with it refuses.

    Without the file, only the connection test is allowed; with a broken one, nothing.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path: Final = path
        self._clock: Final = clock
        self._checked_at: float | None = None
        self._signature: _Signature | None = None
        self._policy: Policy = _missing(path)

    def decide(self, access: Access) -> Decision:
        """Decide on one access by the file's content of at most a second ago."""
        decision = self.current().decide(access)
        log.log(
            logging.DEBUG if decision.allowed else logging.INFO,
            "policy_decided",
            allowed=decision.allowed,
            rule=decision.rule,
            verb=access.verb.value,
            resource=access.resource,
            company_id=access.company_id,
            project_id=access.project_id,
        )
        return decision

    def summary(self) -> dict[str, object]:
        """Describe the policy for reports and people."""
        return self.current().summary()

    def strong_modes(self) -> StrongModes:
        """Return which calls have to be signed or sealed; without a policy, nothing runs anyway."""
        current = self.current()
        if not isinstance(current, PolicyDocument):
            return NO_STRONG_MODES
        return StrongModes(signatures=current.signatures, sealing=current.sealing)

    def reload(self) -> None:
        """Look at the file again at the next decision, whenever the last look was."""
        self._checked_at = None

    def current(self) -> Policy:
        """Return the policy of the moment, as one unchanging value."""
        at = self._clock()
        if self._checked_at is None or at - self._checked_at >= _RECHECK_SECONDS:
            self._checked_at = at
            self._refresh()
        return self._policy

    def _refresh(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            self._adopt(None, _missing(self._path))
            return
        except OSError as exc:
            self._adopt(None, _closed(f"policy.toml cannot be read: {exc.strerror}."))
            return
        try:
            facts = os.fstat(descriptor)
            signature = (
                facts.st_dev,
                facts.st_ino,
                facts.st_mtime_ns,
                facts.st_ctime_ns,  # moves with owner and mode, too
                facts.st_size,
            )
            if signature == self._signature:
                return
            policy = _read(descriptor, facts)
        finally:
            os.close(descriptor)
        self._adopt(signature, policy)

    def _adopt(self, signature: _Signature | None, policy: Policy) -> None:
        before = self._policy.summary()
        self._signature, self._policy = signature, policy
        after = policy.summary()
        if after != before:
            log.info("policy_loaded", policy=after)


def _read(descriptor: int, facts: os.stat_result) -> Policy:
    problem = _fault(facts)
    if problem is not None:
        return _closed(problem)
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return parse_policy(file.read(_MAX_BYTES).decode())
    except ConfigurationError as exc:
        return _closed(exc.message)
    except UnicodeDecodeError:
        return _closed("policy.toml is not UTF-8 text.")
    except OSError as exc:
        return _closed(f"policy.toml cannot be read: {exc.strerror}.")


def _fault(facts: os.stat_result) -> str | None:
    if not stat.S_ISREG(facts.st_mode):
        return "policy.toml is not a regular file."
    if facts.st_size > _MAX_BYTES:
        return f"policy.toml is larger than {_MAX_BYTES} bytes."
    if os.name == "posix":
        if facts.st_mode & 0o022:
            return (
                "policy.toml can be changed by other accounts; "
                "run `chmod go-w policy.toml` after checking its content."
            )
        if facts.st_uid not in {0, os.geteuid()}:
            return "policy.toml belongs neither to root nor to the account that runs the agent."
    return None


def _missing(path: Path) -> Policy:
    return FixedPolicy(
        rule="no-policy-file",
        reason=f"There is no {path.name} on this PC, so only the connection test is allowed.",
        test_allowed=True,
    )


def _closed(problem: str) -> Policy:
    return FixedPolicy(
        rule="unreadable-policy-file",
        reason=f"Nothing is allowed until the policy on this PC is put right: {problem}",
        test_allowed=False,
    )
