"""Runs checks side by side, each after those that it needs, and all of them within bounds."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.doctor.case import Case
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.findings import Finding, Report, failed, not_checked

__all__ = ["CHECK_SECONDS", "TOTAL_SECONDS", "Check", "examine"]

log = structlog.get_logger(__name__)

CHECK_SECONDS: Final = 10.0  # for one check
TOTAL_SECONDS: Final = 30.0  # for all of them: a person waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One link of the chain.

    Attributes:
        needs: Checks without whose success this one would tell nothing.
        after: Checks that leave behind what this one looks at, however they end.
        network: Whether it talks to other machines.
    """

    name: str
    look: Callable[[Case], Awaitable[Finding]]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    network: bool = False


async def examine(
    case: Case,
    checks: Sequence[Check],
    *,
    only: Collection[str] = (),
    offline: bool = False,
    check_seconds: float = CHECK_SECONDS,
    total_seconds: float = TOTAL_SECONDS,
) -> Report:
    """Run the checks and report in their order.

    Args:
        only: The names that the report has; what they need is run, too. All, if empty.
        offline: Leave out what talks to other machines.
    """
    known = {check.name: check for check in checks if not (offline and check.network)}
    wanted = _with_needs(known, only or known)
    running = _Examination(case, wanted, check_seconds)
    try:
        async with asyncio.timeout(total_seconds), asyncio.TaskGroup() as group:
            for name, check in known.items():
                if name in wanted:
                    running.begin(group, check)
    except TimeoutError:
        pass  # what has no finding says so below
    late = not_checked(f"the whole took longer than {total_seconds:.0f} s")
    return Report(
        findings=tuple(
            running.findings.get(name, late).named(name)
            for name in known
            if name in wanted and (not only or name in only)
        )
    )


class _Examination:
    """Checks that run, and what those that ended have found."""

    def __init__(self, case: Case, names: Collection[str], seconds: float) -> None:
        self._case: Final = case
        self._seconds: Final = seconds
        self._ended: Final = {name: asyncio.Event() for name in names}
        self.findings: Final[dict[str, Finding]] = {}

    def begin(self, group: asyncio.TaskGroup, check: Check) -> None:
        """Run a check, once those that it needs have ended."""
        group.create_task(self._run(check), name=f"doctor-{check.name}")

    async def _run(self, check: Check) -> None:
        for name in (*check.needs, *check.after):
            if name in self._ended:
                await self._ended[name].wait()
        blocked = [
            name
            for name in check.needs
            if name in self.findings and not self.findings[name].carries
        ]
        if blocked:
            self.findings[check.name] = _blocked_by(blocked[0], self.findings[blocked[0]])
        else:
            self.findings[check.name] = await self._look(check)
        self._ended[check.name].set()

    async def _look(self, check: Check) -> Finding:
        try:
            async with asyncio.timeout(self._seconds):
                return await check.look(self._case)
        except TimeoutError:
            return failed(
                Code.TOO_SLOW,
                f"This check did not end within {self._seconds:.0f} s.",
                "Run the command again; if that lasts, something that it asks hangs: the disk, "
                "the keyring or the network.",
            )
        except (CloudConnectError, OSError) as exc:
            said = exc.message if isinstance(exc, CloudConnectError) else exc.strerror
            return failed(
                Code.CHECK_FAILED,
                f"The check itself failed: {said or type(exc).__name__}",
                "Run the command again with --debug; report it if that lasts.",
            )
        except (LookupError, TypeError, ValueError) as exc:
            # Above all an agent of another version that runs: it says less, or says it otherwise.
            log.debug("check_failed", check=check.name, exc_info=True)
            return failed(
                Code.CHECK_FAILED,
                f"The check itself failed: it was told what it cannot read ({type(exc).__name__}).",
                "If another version of the agent runs than is installed (see version), restart "
                "it; else run the command again with --debug and report it.",
            )


def _blocked_by(name: str, finding: Finding) -> Finding:
    """Return what is found of a check that needs *name*: where the chain broke."""
    return not_checked(f"{name} failed") if finding.checked else finding


def _with_needs(known: dict[str, Check], names: Collection[str]) -> set[str]:
    """Return the names, and those of all that they need."""
    wanted: set[str] = set()
    waiting = [name for name in names if name in known]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            check = known[name]
            waiting += [one for one in (*check.needs, *check.after) if one in known]
    return wanted
