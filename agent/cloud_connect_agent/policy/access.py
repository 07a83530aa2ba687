"""What a call wants to touch, and what is said to it: the values of policy decisions."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from cloud_connect.calls import Environment

__all__ = [
    "Access",
    "Bound",
    "Ceiling",
    "Decision",
    "Effect",
    "FixedPolicy",
    "Policy",
    "PolicyClass",
    "Verb",
    "lowest",
    "tightest",
]


class Verb(StrEnum):
    """What a call does, as rules name it."""

    TEST = "test"
    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    PASSTHROUGH_READ = "passthrough_read"
    PASSTHROUGH_WRITE = "passthrough_write"

    @property
    def writes(self) -> bool:
        """Whether it may change something in Procore."""
        return self in WRITES

    @property
    def raw(self) -> bool:
        """Whether it is a raw Procore path, of which only the path is known."""
        return self in {Verb.PASSTHROUGH_READ, Verb.PASSTHROUGH_WRITE}


WRITES: Final = frozenset({Verb.CREATE, Verb.UPDATE, Verb.DELETE, Verb.PASSTHROUGH_WRITE})


class PolicyClass(StrEnum):
    """How much a policy lets through, least first; join tokens set a maximum."""

    NONE = "none"
    TEST_ONLY = "test-only"
    READ_ONLY = "read-only"
    READ_WRITE = "read-write"

    @property
    def rank(self) -> int:
        """Its place in the order."""
        return list(PolicyClass).index(self)


class Effect(StrEnum):
    """What a rule that matches does."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One thing that a call wants to touch.

    Attributes:
        company_id: 0 stands for any, where no rule tells companies apart.
        project_id: ``None`` if it is not confined to one project.
        resource: ``None`` if it is not one resource, as for a raw path.
        path: Of a raw call: the normalised path, from ``rest/`` on.
        fields: Those that it writes, with dots; ``None`` if that is not known.
        certain: Whether it surely touches no other company: a long raw body may name one.
        described: Only descriptions are read, of a resource in whatever project.
    """

    verb: Verb
    environment: Environment
    company_id: int
    project_id: int | None = None
    resource: str | None = None
    path: str | None = None
    fields: frozenset[str] | None = frozenset()
    certain: bool = True
    described: bool = False

    def __str__(self) -> str:
        """Describe it in words."""
        what = self.resource or self.path
        company = f"company {self.company_id}" if self.company_id else "any company"
        where = f"{company} ({self.environment.flag})"
        if self.project_id is not None:
            where = f"project {self.project_id} of {where}"
        verb = f"{self.verb.value} of {what}" if what else self.verb.value
        return f"{verb} in {where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The most records that one call may change, and the rule that says so."""

    records: int
    rule: str

    def refusal(self, count: int) -> str | None:
        """Why a call that changes *count* records is refused; ``None`` if it is not."""
        if count <= self.records:
            return None
        records = "1 record" if self.records == 1 else f"{self.records} records"
        return f"The policy on this PC lets one call change at most {records}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The most of something else, and the rule that says so."""

    most: int
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether an access is allowed, by which rule, in a sentence.

    Attributes:
        ceiling: How many records a call may change by it; ``None`` does not limit that.
        rows: How many rows it may return.
        body: How many bytes its request may have.
        rates: How many such calls a minute may bring.
        approval: Whether its first use waits for this PC's administrator.
    """

    allowed: bool
    rule: str
    reason: str
    ceiling: Ceiling | None = None
    rows: Bound | None = None
    body: Bound | None = None
    rates: tuple[Bound, ...] = ()
    approval: bool = False


class Policy(Protocol):
    """Decides what may run."""

    def decide(self, access: Access) -> Decision:
        """Decide on one access."""
        ...

    def summary(self) -> dict[str, object]:
        """Describe the policy for reports and people."""
        ...


class FixedPolicy:
    """The same answer to everything, for want of a readable policy file.

    Args:
        reason: What callers are told.
        problem: What only this PC's administrator is told, if that is more.
    """

    def __init__(
        self, *, rule: str, reason: str, test_allowed: bool, problem: str | None = None
    ) -> None:
        self._rule: Final = rule
        self._reason: Final = reason
        self._test_allowed: Final = test_allowed
        self._problem: Final = problem or reason

    def decide(self, access: Access) -> Decision:
        """Allow the connection test at most."""
        allowed = self._test_allowed and access.verb is Verb.TEST
        return Decision(allowed=allowed, rule=self._rule, reason=self._reason)

    def summary(self) -> dict[str, object]:
        """Describe the policy for reports and people."""
        policy_class = PolicyClass.TEST_ONLY if self._test_allowed else PolicyClass.NONE
        return {
            "class": policy_class.value,
            "mode": "normal",
            "rules": 0,
            "pass_through": "none",
            "max_records_per_call": None,
            "problem": self._problem,
        }


def lowest(decisions: Iterable[Decision]) -> Ceiling | None:
    """The ceiling that holds for a call which needs all of *decisions*."""
    found = (decision.ceiling for decision in decisions if decision.ceiling is not None)
    return min(found, key=lambda ceiling: ceiling.records, default=None)


def tightest(bounds: Iterable[Bound | None]) -> Bound | None:
    """The bound that holds where all of *bounds* do."""
    found = (bound for bound in bounds if bound is not None)
    return min(found, key=lambda bound: bound.most, default=None)
