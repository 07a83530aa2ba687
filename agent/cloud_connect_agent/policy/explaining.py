"""Pure: why the policy decides as it does, rule by rule, and what came close."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cloud_connect_agent.policy.access import Access, Decision, Effect
from cloud_connect_agent.policy.rules import PolicyDocument

__all__ = ["Explanation", "Verdict", "explain", "overshadowed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one rule has to do with an access.

    Attributes:
        misses: Why it does not match, in words; it does if there are none.
    """

    rule: str
    effect: Effect
    misses: tuple[str, ...]
    decides: bool

    @property
    def matches(self) -> bool:
        """Whether the rule is about the access."""
        return not self.misses

    def __str__(self) -> str:
        """Say it in a sentence."""
        does = "allow" if self.effect is Effect.ALLOW else "refuse"
        if self.decides:
            return f"Rule {self.rule!r} matches first and {does}s it."
        if self.matches:
            return f"Rule {self.rule!r} would {does} it, but one above it has decided."
        return f"Rule {self.rule!r} would {does} it but for {' and '.join(self.misses)}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A decision with its reasons, the rules in the order of the file."""

    decision: Decision
    verdicts: tuple[Verdict, ...]

    @property
    def near(self) -> tuple[Verdict, ...]:
        """The rules that would decide otherwise but for one thing."""
        other = Effect.DENY if self.decision.allowed else Effect.ALLOW
        return tuple(
            one
            for one in self.verdicts
            if one.effect is other and not one.decides and len(one.misses) <= 1
        )


def explain(document: PolicyDocument, access: Access, at: datetime) -> Explanation:
    """Say which rule decides on *access*, and what each of the others lacks."""
    deciding = document.deciding(access, at)
    verdicts = tuple(
        Verdict(
            rule=rule.id,
            effect=rule.effect,
            misses=tuple(rule.misses(access, at)),
            decides=rule is deciding,
        )
        for rule in document.rules
    )
    return Explanation(decision=document.decide(access, at), verdicts=verdicts)


def overshadowed(document: PolicyDocument) -> Iterator[tuple[str, str]]:
    """Yield each deny rule that refuses nothing, and the allow rule above it that sees to that.

    The first match decides, so a refusal has to stand above what it restricts.
    """
    for place, rule in enumerate(document.rules):
        if rule.effect is not Effect.DENY:
            continue
        for above in document.rules[:place]:
            if above.effect is not Effect.ALLOW or above.hours is not None:
                continue
            if (
                _covers(above.verbs, rule.verbs)
                and _covers(above.environments, rule.environments)
                and _covers(above.companies, rule.companies)
                and _covers(above.projects, rule.projects)
                and _covers(above.resources, rule.resources)
                and (above.paths is None or above.paths == rule.paths)
            ):
                yield rule.id, above.id
                break


def _covers(wide: frozenset[object] | None, narrow: frozenset[object] | None) -> bool:
    return wide is None or (narrow is not None and narrow <= wide)
