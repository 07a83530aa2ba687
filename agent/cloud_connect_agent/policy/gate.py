"""The one way in: each call passes the policy, its approvals and rates, and its project's company.

All accesses of a call are decided by one version of the policy, whatever changes meanwhile.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from cloud_connect.calls import Environment
from cloud_connect.errors import CloudConnectError, Outcome, PolicyDeniedError
from cloud_connect_agent.audit.notes import call_note
from cloud_connect_agent.policy.access import (
    Access,
    Bound,
    Ceiling,
    Decision,
    Policy,
    lowest,
    tightest,
)
from cloud_connect_agent.policy.approvals import Use, Verdict, first_use
from cloud_connect_agent.policy.rates import Rates

__all__ = ["Gate", "Granted", "PolicyGate"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """How far a call may go that was let through.

    Attributes:
        rules: Those that let it through, in the order of its accesses.
    """

    rules: tuple[str, ...] = ()
    ceiling: Ceiling | None = None
    rows: Bound | None = None
    body: Bound | None = None

    def check_body(self, size: int) -> None:
        """Refuse a request's body of *size* bytes if that is too many.

        Raises:
            PolicyDeniedError: If it is.
        """
        if self.body is not None and size > self.body.most:
            raise PolicyDeniedError(
                f"The policy on this PC lets one call send at most {self.body.most} bytes. "
                f"(rule {self.body.rule})"
            )

    def check_rows(self, count: int) -> None:
        """Refuse an answer of *count* rows if that is too many.

        Raises:
            PolicyDeniedError: If it is.
        """
        if self.rows is not None and count > self.rows.most:
            raise PolicyDeniedError(
                f"The policy on this PC lets one call return at most {self.rows.most} rows; narrow "
                f"the conditions, or ask with a limit. (rule {self.rows.rule})"
            )


class Gate(Protocol):
    """What lets calls in."""

    async def allow(
        self, accesses: Sequence[Access], deadline: float, *, executes: bool = True
    ) -> Granted:
        """Let a call in that wants to touch all of *accesses*, or refuse it."""
        ...

    def check(self, accesses: Sequence[Access]) -> Granted:
        """Say whether the policy allows all of *accesses*, of a call that is in already."""
        ...


class _Policies(Protocol):
    def current(self) -> Policy: ...


class _Approvals(Protocol):
    def verdict(self, use: Use) -> Verdict | None: ...
    def wait(self, use: Use) -> bool: ...


class _Projects(Protocol):
    async def check(
        self, environment: Environment, company_id: int, projects: Sequence[int], deadline: float
    ) -> None: ...


class _Past(Protocol):
    def note(self, access: Access, *, allowed: bool, rule: str) -> None: ...


class PolicyGate:
    """Lets calls in as the policy of the moment says.

    Args:
        projects: Refuses projects of other companies.
        past: Remembers what was decided, for ``policy simulate``.
    """

    def __init__(
        self,
        policies: _Policies,
        *,
        approvals: _Approvals,
        projects: _Projects,
        past: _Past,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policies: Final = policies
        self._approvals: Final = approvals
        self._projects: Final = projects
        self._past: Final = past
        self._rates: Final = Rates(clock)

    async def allow(
        self, accesses: Sequence[Access], deadline: float, *, executes: bool = True
    ) -> Granted:
        """Let a call in that wants to touch all of *accesses*.

        Args:
            executes: It may reach Procore, not only what was kept of an earlier call.

        Raises:
            PolicyDeniedError: If one of them is refused, or waits for an approval; it names
                the rule.
            QuotaExceededError: If the minute is used up.
            CloudConnectError: If Procore does not say whose a project is.
        """
        decisions = self._decide(accesses)
        self._rates.take(bound for decision in decisions for bound in decision.rates)
        by_company = _projects_of(accesses) if executes else {}
        for (environment, company_id), projects in by_company.items():
            try:
                await self._projects.check(environment, company_id, projects, deadline)
            except CloudConnectError as error:
                log.info("projects_not_confirmed", company_id=company_id, code=error.code.value)
                refused = Decision(allowed=False, rule="project-binding", reason=error.message)
                _record(accesses, refused)
                error.outcome = Outcome.NOT_EXECUTED  # whatever became of the question
                raise
        return _granted(decisions)

    def check(self, accesses: Sequence[Access]) -> Granted:
        """Say whether the policy allows all of *accesses*, of a call that is in already.

        Raises:
            PolicyDeniedError: If it does not.
        """
        return _granted(self._decide(accesses))

    def _decide(self, accesses: Sequence[Access]) -> list[Decision]:
        policy = self._policies.current()
        decisions = []
        for access in accesses:
            decision = policy.decide(access)
            self._note(access, decision)
            self._conclude(accesses, decision)
            decisions.append(decision)
        # Only what is allowed in all else may put something before a person.
        for access, decision in zip(accesses, decisions, strict=True):
            if decision.approval:
                self._conclude(accesses, self._approved(access, decision))
        return decisions

    def _conclude(self, accesses: Sequence[Access], decision: Decision) -> None:
        _record(accesses, decision)
        if not decision.allowed:
            raise PolicyDeniedError(f"{decision.reason} (rule {decision.rule})")

    def _approved(self, access: Access, decision: Decision) -> Decision:
        use = first_use(access)
        verdict = self._approvals.verdict(use)
        if verdict is Verdict.APPROVED:
            return decision
        if verdict is Verdict.DENIED:
            reason = f"The administrator of this PC has refused {use}."
        elif self._approvals.wait(use):
            reason = (
                f"{use} waits for the approval of this PC's administrator, who gives it with "
                f"`cloud-connect policy approve {use.id}`."
            )
        else:
            reason = (
                f"{use} needs the approval of this PC's administrator, and too much waits for it "
                "already; `cloud-connect policy pending` there lists it."
            )
        return Decision(allowed=False, rule=decision.rule, reason=reason)

    def _note(self, access: Access, decision: Decision) -> None:
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
        self._past.note(access, allowed=decision.allowed, rule=decision.rule)


def _record(accesses: Sequence[Access], decision: Decision) -> None:
    note = call_note.get()
    if note is not None:
        note.decided(accesses, decision)


def _granted(decisions: Sequence[Decision]) -> Granted:
    return Granted(
        rules=tuple(decision.rule for decision in decisions),
        ceiling=lowest(decisions),
        rows=tightest(decision.rows for decision in decisions),
        body=tightest(decision.body for decision in decisions),
    )


def _projects_of(accesses: Sequence[Access]) -> dict[tuple[Environment, int], list[int]]:
    found: dict[tuple[Environment, int], list[int]] = {}
    for access in accesses:
        if access.project_id is not None:
            named = found.setdefault((access.environment, access.company_id), [])
            if access.project_id not in named:
                named.append(access.project_id)
    return found
