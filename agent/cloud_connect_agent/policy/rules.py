"""Pure: a policy file's content, and which of its rules decides."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cloud_connect.calls import MAX_ID, Environment
from cloud_connect_agent.policy.access import (
    WRITES,
    Access,
    Bound,
    Ceiling,
    Decision,
    Effect,
    PolicyClass,
    Verb,
)
from cloud_connect_agent.policy.fields import protected
from cloud_connect_agent.policy.hours import Hours
from cloud_connect_agent.strong_modes import SealingRules, SignatureRules

__all__ = ["Limits", "PolicyDocument", "Rule"]

Id = Annotated[int, Field(gt=0, le=MAX_ID, strict=True)]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Bytes = Annotated[int, Field(ge=1, le=2**50, strict=True)]
FieldName = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Strict):
    """What may stand in an allow rule and, for all of them, at the top of the file.

    Attributes:
        max_rows_per_call: Rows that one call may return.
        unwritable_fields: Nobody writes them; a name covers what lies below it.
        approval: The first use of a verb with a resource waits for this PC's administrator.
    """

    max_records_per_call: Count | None = None
    max_rows_per_call: Count | None = None
    max_body_bytes: Bytes | None = None
    max_calls_per_minute: Count | None = None
    unwritable_fields: frozenset[FieldName] | None = Field(default=None, min_length=1)
    approval: Literal["first-use", "none"] | None = None


class Rule(Limits):
    """One rule; what it does not name, it does not restrict."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    effect: Effect
    verbs: frozenset[Verb] | None = Field(default=None, min_length=1)
    environments: frozenset[Environment] | None = Field(default=None, min_length=1)
    companies: frozenset[Id] | None = Field(default=None, min_length=1)
    projects: frozenset[Id] | None = Field(default=None, min_length=1)
    resources: frozenset[str] | None = Field(default=None, min_length=1)
    paths: tuple[str, ...] | None = Field(default=None, min_length=1)
    hours: Hours | None = None

    @field_validator("environments", mode="before")
    @classmethod
    def _accept_flags(cls, value: object) -> object:
        """Take ``developer-sandbox`` as well as ``developer_sandbox``."""
        if isinstance(value, list):
            return [item.replace("-", "_") if isinstance(item, str) else item for item in value]
        return value

    @model_validator(mode="after")
    def _only_what_is_allowed_is_limited(self) -> "Rule":
        if self.effect is Effect.DENY:
            for name in Limits.model_fields:
                if getattr(self, name) is not None:
                    raise ValueError(f"the rule {self.id!r} refuses, so {name} says nothing")
        return self

    @property
    def everywhere(self) -> bool:
        """Whether it holds whenever, whatever environment, company, project, resource, path."""
        return not any(
            (
                self.environments,
                self.companies,
                self.projects,
                self.resources,
                self.paths,
                self.hours,
            )
        )

    def matches(self, access: Access, at: datetime | None = None) -> bool:
        """Whether this rule decides on *access*.

        Where the access does not say (which project, which resource, when), an allow rule that
        names some does not match, and a deny rule that names some does: what is not known
        to be harmless is refused.
        """
        return next(self.misses(access, at), None) is None

    def misses(self, access: Access, at: datetime | None = None) -> Iterator[str]:
        """Yield, in words, each thing about *access* for which this rule does not decide on it."""
        unknown = self.effect is Effect.DENY
        if self.verbs is not None and access.verb not in self.verbs:
            yield f"the verb {access.verb.value}"
        if self.environments is not None and access.environment not in self.environments:
            yield f"the environment {access.environment.flag}"
        company = self._company(access)
        if company is not None:
            yield company
        if self.hours is not None and not (unknown if at is None else self.hours.cover(at)):
            yield "the time" if at is None else self.hours.local(at)
        if access.verb is Verb.TEST:
            # It reads no record: projects, resources and paths say nothing about it.
            if self.projects or self.resources or self.paths:
                yield "the connection test, which is of no project, resource or path"
            return
        for miss in (self._project(access), self._resource(access), self._path(access)):
            if miss is not None:
                yield miss

    def _company(self, access: Access) -> str | None:
        if self.companies is None:
            return None
        denies = self.effect is Effect.DENY
        if access.company_id in self.companies:
            return None if access.certain or denies else "a body that may name another company"
        if denies and not access.certain:
            return None
        return f"company {access.company_id}" if access.company_id else "any company"

    def _project(self, access: Access) -> str | None:
        if self.projects is None:
            return None
        if access.described:  # records of some projects are refused, not what they are like
            return "descriptions, which are of no project" if self.effect is Effect.DENY else None
        if access.project_id is None:
            return None if self.effect is Effect.DENY else "no single project"
        return None if access.project_id in self.projects else f"project {access.project_id}"

    def _resource(self, access: Access) -> str | None:
        if self.resources is None or access.resource in self.resources:
            return None
        if access.resource is not None:
            return f"the resource {access.resource}"
        if self.effect is Effect.DENY:
            return None
        return "a raw path" if access.verb.raw else "no single resource"

    def _path(self, access: Access) -> str | None:
        if self.paths is None:
            return None
        if not access.verb.raw:
            return "a call that is not a raw path"
        if access.path is None:
            return None if self.effect is Effect.DENY else "a path that is not known"
        if _path_matches(self.paths, access.path):
            return None
        return f"the path {access.path[:200]}"


@dataclass(frozen=True, slots=True)
class _Found:
    """What the rules say of an access before their limits."""

    rule: Rule | None
    refusal: Decision | None = None


class PolicyDocument(Limits):
    """A policy file's content: the first rule that matches decides, else it is refused.

    Attributes:
        hours: Outside of them nothing is allowed, whatever the rules say.
        signatures: Who has to have signed a call.
        sealing: Which calls must come sealed to this connector.
    """

    mode: Literal["normal", "read-only"] = "normal"
    hours: Hours | None = None
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

    def decide(self, access: Access, at: datetime | None = None) -> Decision:
        """Decide on one access.

        Args:
            at: When; if that is not known, rules with hours count as for what else is unknown.
        """
        found = self._find(access, at)
        if found.refusal is not None:
            return found.refusal
        rule = found.rule
        if rule is None:
            return _refusal("default", f"No rule of the policy on this PC allows {access}.")
        if rule.effect is Effect.DENY:
            return _refusal(rule.id, f"Rule {rule.id!r} of the policy on this PC refuses {access}.")
        return self._unwritable(rule, access) or Decision(
            allowed=True,
            rule=rule.id,
            reason=f"Rule {rule.id!r} of the policy on this PC allows {access}.",
            ceiling=self._ceiling(rule) if access.verb.writes else None,
            rows=None if access.verb.writes else self._bound(rule, "max_rows_per_call"),
            body=self._bound(rule, "max_body_bytes"),
            rates=tuple(
                Bound(most=holder.max_calls_per_minute, rule=name)
                for holder, name in ((rule, rule.id), (self, "max_calls_per_minute"))
                if holder.max_calls_per_minute is not None
            ),
            approval=(rule.approval or self.approval) == "first-use",
        )

    def deciding(self, access: Access, at: datetime | None = None) -> Rule | None:
        """Return the rule that decides on *access*; ``None`` if something before them all does."""
        return self._find(access, at).rule

    def _find(self, access: Access, at: datetime | None) -> _Found:
        if self.mode == "read-only" and access.verb.writes:
            said = 'The policy on this PC says mode = "read-only", which refuses every write.'
            return _Found(None, _refusal("mode", said))
        if self.hours is not None and (at is None or not self.hours.cover(at)):
            said = f"The policy on this PC allows calls on {self.hours} only."
            return _Found(None, _refusal("hours", said))
        return _Found(next((rule for rule in self.rules if rule.matches(access, at)), None))

    def _unwritable(self, rule: Rule, access: Access) -> Decision | None:
        if not access.verb.writes:
            return None
        for names, name in (
            (rule.unwritable_fields, rule.id),
            (self.unwritable_fields, "unwritable_fields"),
        ):
            if not names:
                continue
            if access.fields is None:
                said = "does not let a call write fields that it cannot see: the body is too long"
                return _refusal(name, f"The policy on this PC {said} or of another kind.")
            field = protected(access.fields, names, anywhere=access.verb.raw)
            if field is not None:
                return _refusal(
                    name, f"The policy on this PC lets nobody write the field “{field}” here."
                )
        return None

    @property
    def policy_class(self) -> PolicyClass:
        """The most that any of the rules may allow."""
        if self._may_allow(*WRITES):
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
        bound = self._bound(rule, "max_records_per_call")
        return None if bound is None else Ceiling(records=bound.most, rule=bound.rule)

    def _bound(
        self,
        rule: Rule,
        name: Literal["max_records_per_call", "max_rows_per_call", "max_body_bytes"],
    ) -> Bound | None:
        """The rule's own number takes the place of the file's."""
        for holder, said_by in ((rule, rule.id), (self, name)):
            most: int | None = getattr(holder, name)
            if most is not None:
                return Bound(most=most, rule=said_by)
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


def _refusal(rule: str, reason: str) -> Decision:
    return Decision(allowed=False, rule=rule, reason=reason)


_ANY: Final = "*"  # stands for one segment


def _path_matches(patterns: tuple[str, ...], path: str) -> bool:
    """Whether *path* lies at or below a pattern: whole segments, never a part of one."""
    path = path.strip("/")
    for pattern in patterns:
        wanted = pattern.strip("/").split("/")
        segments = path.split("/", len(wanted))  # a long path costs no more than its beginning
        if len(segments) >= len(wanted) and all(
            want in {_ANY, segment} for want, segment in zip(wanted, segments, strict=False)
        ):
            return True
    return False
