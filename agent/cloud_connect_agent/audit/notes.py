"""What is noted of a call while it runs, for its record in the audit log."""

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_connect.errors import Outcome
    from cloud_connect_agent.policy import Access, Decision

_RULE: Final = re.compile(r"\(rule ([^()]{1,200})\)\.?$")

__all__ = ["CallAudit", "CallNote", "call_note", "leave_to_its_end"]


class CallNote:
    """One call: what it wanted, and what the policy said.

    Attributes:
        decision: The policy's; ``None`` while nobody has asked it.
        asked: The body of a read that has one.
        refusal: The rule that refused it, whoever found that out.
        journaled: It is a write, which is recorded when its end is certain.
        signed_by: The name of the key that its caller signed it with.
        sealed: It came sealed to this PC.
    """

    __slots__ = (
        "accesses",
        "asked",
        "call_id",
        "decision",
        "journaled",
        "operation",
        "refusal",
        "sealed",
        "signed_by",
    )

    def __init__(self, call_id: str, operation: str) -> None:
        self.call_id: Final = call_id
        self.operation: Final = operation
        self.accesses: Sequence[Access] = ()
        self.decision: Decision | None = None
        self.asked: bytes | None = None
        self.refusal: str | None = None
        self.journaled = False
        self.signed_by: str | None = None
        self.sealed = False

    def decided(self, accesses: "Sequence[Access]", decision: "Decision") -> None:
        """Note what the policy said; the first that it refuses, else the first of all."""
        if self.decision is None or not decision.allowed:
            self.accesses, self.decision = accesses, decision

    def refused(self, sentence: str) -> None:
        """Note a refusal by its sentence, which names the rule at its end."""
        found = _RULE.search(sentence)
        self.refusal = found[1] if found else "policy"

    @property
    def known(self) -> bool:
        """Whether the policy had its say."""
        return self.decision is not None or self.refusal is not None

    @property
    def allowed(self) -> bool:
        """Whether it was let through."""
        return self.refusal is None and self.decision is not None and self.decision.allowed

    @property
    def rule(self) -> str | None:
        """The rule that decided."""
        if self.refusal is not None or self.decision is None:
            return self.refusal
        return self.decision.rule

    def facts(self) -> dict[str, object]:
        """Return what was wanted, in words of the policy."""
        facts: dict[str, object] = {"operation": self.operation}
        if self.signed_by is not None:
            facts["signed_by"] = self.signed_by
        if self.sealed:
            facts["sealed"] = True
        if not self.accesses:
            return facts
        access = self.accesses[0]
        facts["verb"] = access.verb.value
        facts["environment"] = access.environment.value
        facts["company_id"] = access.company_id
        if access.project_id is not None:
            facts["project_id"] = access.project_id
        if access.resource is not None:
            facts["resource"] = access.resource
        if len(self.accesses) > 1:
            facts["accesses"] = len(self.accesses)
        return facts


call_note: Final[ContextVar[CallNote | None]] = ContextVar("call_note", default=None)
"""Of the call that the current task works for."""


def leave_to_its_end() -> None:
    """Leave the record of the current call to its end, which may come after its answer."""
    note = call_note.get()
    if note is not None:
        note.journaled = True


class CallAudit(Protocol):
    """The audit log, as far as calls need it."""

    def require(self) -> None:
        """Raise if a write could not be recorded."""
        ...

    def digest_of(self, data: bytes) -> str:
        """Return a digest by which nobody can guess the data."""
        ...

    def call(
        self,
        note: CallNote,
        *,
        status: int | None,
        outcome: "Outcome",
        digest: str | None = None,
        **detail: str | int | bool | None,
    ) -> None:
        """Record a call that has ended."""
        ...
