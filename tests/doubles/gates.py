"""A gate to the agent as the product has it, with doubles around."""

from collections.abc import Sequence
from typing import Any, Protocol

from cloud_connect.calls import Environment
from cloud_connect_agent.policy import Access, Decision, Policy
from cloud_connect_agent.policy.approvals import Use, Verdict
from cloud_connect_agent.policy.gate import PolicyGate

__all__ = ["NoPast", "OwnProjects", "Verdicts", "gate_of"]


class OwnProjects:
    """Takes each project for one of the company."""

    async def check(
        self, environment: Environment, company_id: int, projects: Sequence[int], deadline: float
    ) -> None:
        del environment, company_id, projects, deadline


class NoPast:
    """Remembers nothing."""

    def note(self, access: Access, *, allowed: bool, rule: str) -> None:
        del access, allowed, rule


class Verdicts:
    """What an administrator decided, as a test says."""

    def __init__(self) -> None:
        self.known: dict[str, Verdict] = {}
        self.waiting: list[Use] = []
        self.room = True

    def verdict(self, use: Use) -> Verdict | None:
        return self.known.get(str(use))

    def wait(self, use: Use) -> bool:
        if self.room:
            self.waiting.append(use)
        return self.room


class _Deciding(Protocol):
    def decide(self, access: Access) -> Decision: ...
    def summary(self) -> dict[str, object]: ...


class _Always:
    def __init__(self, policy: _Deciding) -> None:
        self._policy = policy

    def current(self) -> Policy:
        return self._policy


def gate_of(policy: _Deciding, **parts: Any) -> PolicyGate:
    """Make a gate of one policy; *parts* take the place of doubles."""
    doubles: dict[str, Any] = {
        "approvals": Verdicts(),
        "projects": OwnProjects(),
        "past": NoPast(),
    }
    return PolicyGate(_Always(policy), **{**doubles, **parts})
