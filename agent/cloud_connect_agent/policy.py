"""What may run on this PC, and which rule says so."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cloud_connect.calls import MAX_ID, Environment
from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.strong_modes import SealingRules, SignatureRules

__all__ = [
    "Access",
    "Ceiling",
    "Decision",
    "Effect",
    "FixedPolicy",
    "Policy",
    "PolicyClass",
    "PolicyDocument",
    "Rule",
    "Verb",
    "lowest",
    "parse_policy",
]

Id = Annotated[int, Field(gt=0, le=MAX_ID, strict=True)]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


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
        return self in _WRITES

    @property
    def raw(self) -> bool:
        """Whether it is a raw Procore path, of which only the path is known."""
        return self in {Verb.PASSTHROUGH_READ, Verb.PASSTHROUGH_WRITE}


_WRITES: Final = frozenset({Verb.CREATE, Verb.UPDATE, Verb.DELETE, Verb.PASSTHROUGH_WRITE})


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
    """

    verb: Verb
    environment: Environment
    company_id: int
    project_id: int | None = None
    resource: str | None = None
    path: str | None = None


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
class Decision:
    """Whether an access is allowed, by which rule, in a sentence.

    Attributes:
        ceiling: How many records a call may change by it; ``None`` does not limit that.
    """

    allowed: bool
    rule: str
    reason: str
    ceiling: Ceiling | None = None


class Policy(Protocol):
    """Decides what may run."""

    def decide(self, access: Access) -> Decision:
        """Decide on one access."""
        ...

    def summary(self) -> dict[str, object]:
        """Describe the policy for reports and people."""
        ...


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Strict):
    """One rule; what it does not name, it does not restrict."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    effect: Effect
    verbs: frozenset[Verb] | None = Field(default=None, min_length=1)
    environments: frozenset[Environment] | None = Field(default=None, min_length=1)
    companies: frozenset[Id] | None = Field(default=None, min_length=1)
    projects: frozenset[Id] | None = Field(default=None, min_length=1)
    resources: frozenset[str] | None = Field(default=None, min_length=1)
    paths: tuple[str, ...] | None = Field(default=None, min_length=1)
    max_records_per_call: Count | None = None

    @field_validator("environments", mode="before")
    @classmethod
    def _accept_flags(cls, value: object) -> object:
        """Take ``developer-sandbox`` as well as ``developer_sandbox``."""
        if isinstance(value, list):
            return [item.replace("-", "_") if isinstance(item, str) else item for item in value]
        return value

    @model_validator(mode="after")
    def _only_what_is_allowed_is_counted(self) -> "Rule":
        if self.max_records_per_call is not None and self.effect is Effect.DENY:
            raise ValueError(f"the rule {self.id!r} refuses, so max_records_per_call says nothing")
        return self

    @property
    def everywhere(self) -> bool:
        """Whether it holds whatever the environment, company, project, resource and path."""
        return not any(
            (self.environments, self.companies, self.projects, self.resources, self.paths)
        )

    def matches(self, access: Access) -> bool:
        """Whether this rule decides on *access*.

        Where the access does not say (which project, which resource), an allow rule that
        names some does not match, and a deny rule that names some does: what is not known
        to be harmless is refused.
        """
        unknown = self.effect is Effect.DENY
        if self.verbs is not None and access.verb not in self.verbs:
            return False
        if self.environments is not None and access.environment not in self.environments:
            return False
        if self.companies is not None and access.company_id not in self.companies:
            return False
        if access.verb is Verb.TEST:
            # It reads no record: projects, resources and paths say nothing about it.
            return self.projects is None and self.resources is None and self.paths is None
        if self.projects is not None and not (
            unknown if access.project_id is None else access.project_id in self.projects
        ):
            return False
        if self.resources is not None and not (
            unknown if access.resource is None else access.resource in self.resources
        ):
            return False
        if self.paths is not None:
            if not access.verb.raw:
                return False
            return unknown if access.path is None else _path_matches(self.paths, access.path)
        return True


class PolicyDocument(_Strict):
    """A policy file's content: the first rule that matches decides, else it is refused.

    Attributes:
        max_records_per_call: Holds for the rules that have no number of their own.
        signatures: Who has to have signed a call.
        sealing: Which calls must come sealed to this connector.
    """

    mode: Literal["normal", "read-only"] = "normal"
    max_records_per_call: Count | None = None
    rules: tuple[Rule, ...] = Field(default=(), max_length=1000)
    signatures: SignatureRules = SignatureRules()
    sealing: SealingRules = SealingRules()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "PolicyDocument":
        seen: set[str] = set()
        for rule in self.rules:
            if rule.id in seen:
                raise ValueError(f"the rule id {rule.id!r} is used twice")
            seen.add(rule.id)
        return self

    def decide(self, access: Access) -> Decision:
        """Decide on one access."""
        if self.mode == "read-only" and access.verb.writes:
            return Decision(
                allowed=False,
                rule="mode",
                reason='The policy on this PC says mode = "read-only", which refuses every write.',
            )
        for rule in self.rules:
            if rule.matches(access):
                allowed = rule.effect is Effect.ALLOW
                verdict = "allows" if allowed else "refuses"
                return Decision(
                    allowed=allowed,
                    rule=rule.id,
                    reason=f"Rule {rule.id!r} of the policy on this PC {verdict} "
                    f"{_describe(access)}.",
                    ceiling=self._ceiling(rule) if allowed and access.verb.writes else None,
                )
        return Decision(
            allowed=False,
            rule="default",
            reason=f"No rule of the policy on this PC allows {_describe(access)}.",
        )

    @property
    def policy_class(self) -> PolicyClass:
        """The most that any of the rules may allow."""
        if self._may_allow(*_WRITES):
            return PolicyClass.READ_WRITE
        if self._may_allow(Verb.READ, Verb.PASSTHROUGH_READ):
            return PolicyClass.READ_ONLY
        return PolicyClass.TEST_ONLY if self._may_allow(Verb.TEST) else PolicyClass.NONE

    def summary(self) -> dict[str, object]:
        """Describe the policy for reports and people."""
        raw = PolicyClass.NONE
        if self._may_allow(Verb.PASSTHROUGH_WRITE):
            raw = PolicyClass.READ_WRITE
        elif self._may_allow(Verb.PASSTHROUGH_READ):
            raw = PolicyClass.READ_ONLY
        return {
            "class": self.policy_class.value,
            "mode": self.mode,
            "rules": len(self.rules),
            "pass_through": raw.value,
            "max_records_per_call": self.max_records_per_call,
            "problem": None,
        }

    def _ceiling(self, rule: Rule) -> Ceiling | None:
        if rule.max_records_per_call is not None:
            return Ceiling(records=rule.max_records_per_call, rule=rule.id)
        if self.max_records_per_call is not None:
            return Ceiling(records=self.max_records_per_call, rule="max_records_per_call")
        return None

    def _may_allow(self, *verbs: Verb) -> bool:
        wanted = {verb for verb in verbs if not (self.mode == "read-only" and verb.writes)}
        for rule in self.rules:
            hit = wanted if rule.verbs is None else wanted & rule.verbs
            if rule.effect is Effect.ALLOW and hit:
                return True
            if rule.effect is Effect.DENY and rule.everywhere:
                wanted -= hit
        return False


class FixedPolicy:
    """The same answer to everything, for want of a readable policy file."""

    def __init__(self, *, rule: str, reason: str, test_allowed: bool) -> None:
        self._rule: Final = rule
        self._reason: Final = reason
        self._test_allowed: Final = test_allowed

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
            "problem": self._reason,
        }


def lowest(decisions: Iterable[Decision]) -> Ceiling | None:
    """The ceiling that holds for a call which needs all of *decisions*."""
    found = (decision.ceiling for decision in decisions if decision.ceiling is not None)
    return min(found, key=lambda ceiling: ceiling.records, default=None)


def parse_policy(text: str) -> PolicyDocument:
    """Read a policy file's text.

    Raises:
        ConfigurationError: If it is not TOML or has an unknown key or value, which it names.
    """
    try:
        return PolicyDocument.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"policy.toml is not valid TOML: {exc}.") from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        if first["type"] == "extra_forbidden":
            raise ConfigurationError(f"policy.toml has an unknown key: {place}.") from exc
        raise ConfigurationError(f"policy.toml is wrong at {place}: {first['msg']}.") from exc


def _path_matches(patterns: tuple[str, ...], path: str) -> bool:
    """Whether *path* lies at or below a pattern; ``*`` stands for one segment."""
    segments = path.strip("/").split("/")
    for pattern in patterns:
        wanted = pattern.strip("/").split("/")
        if len(segments) >= len(wanted) and all(
            want in {"*", segment} for want, segment in zip(wanted, segments, strict=False)
        ):
            return True
    return False


def _describe(access: Access) -> str:
    what = access.resource or access.path
    company = f"company {access.company_id}" if access.company_id else "any company"
    where = f"{company} ({access.environment.flag})"
    if access.project_id is not None:
        where = f"project {access.project_id} of {where}"
    return (
        f"{access.verb.value} of {what} in {where}" if what else f"{access.verb.value} in {where}"
    )
