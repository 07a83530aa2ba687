"""What a check found, and what all of them together say."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from cloud_connect_agent.doctor.codes import Code

__all__ = ["Finding", "Report", "Status", "failed", "not_checked", "passed", "warned"]


class Status(StrEnum):
    """How a check ended."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        cause: What is so; of a fault, why.
        fix: What to do about it; empty where nothing has to be done.
        code: ``None`` where all is well.
    """

    status: Status
    cause: str
    fix: str = ""
    code: Code | None = None
    name: str = ""

    @property
    def checked(self) -> bool:
        """Whether the check came to a verdict."""
        return self.code is not Code.NOT_CHECKED

    @property
    def carries(self) -> bool:
        """Whether checks that need this one make sense."""
        return self.status is not Status.FAIL and self.checked

    def named(self, name: str) -> Self:
        """Return the same, of the check *name*."""
        return replace(self, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What all checks found, in order of cause."""

    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether something keeps the connector from working."""
        return any(one.status is Status.FAIL for one in self.findings)

    @property
    def start_with(self) -> Finding | None:
        """The first fault in order of cause; a warning only where nothing failed."""
        for status in (Status.FAIL, Status.WARN):
            for one in self.findings:
                if one.status is status and one.checked:
                    return one
        return None

    @property
    def summary(self) -> str:
        """One line for people."""
        unchecked = sum(not one.checked for one in self.findings)
        counts = [
            f"{sum(one.status is Status.PASS for one in self.findings)} passed",
            _warnings(sum(one.status is Status.WARN for one in self.findings) - unchecked),
            f"{sum(one.status is Status.FAIL for one in self.findings)} failed",
        ]
        if unchecked:
            counts.append(f"{unchecked} not checked")
        line, first = ", ".join(counts), self.start_with
        return f"{line}." if first is None else f"{line}: start with {first.code}."

    def as_json(self) -> dict[str, object]:
        """Return the document that ``--json`` prints."""
        first = self.start_with
        return {
            "summary": self.summary,
            "start_with": None if first is None else str(first.code),
            "checks": [
                {
                    "name": one.name,
                    "status": one.status.value,
                    "cause": one.cause,
                    "fix": one.fix,
                    "code": "" if one.code is None else one.code.value,
                }
                for one in self.findings
            ],
        }


def passed(cause: str) -> Finding:
    """All is well; *cause* says what was seen."""
    return Finding(status=Status.PASS, cause=cause)


def warned(code: Code, cause: str, fix: str = "") -> Finding:
    """Calls can come through, and a person should look at it."""
    return Finding(status=Status.WARN, cause=cause, fix=fix, code=code)


def failed(code: Code, cause: str, fix: str) -> Finding:
    """Calls cannot come through, or not all of them."""
    return Finding(status=Status.FAIL, cause=cause, fix=fix, code=code)


def not_checked(reason: str) -> Finding:
    """Nothing is known, because *reason*."""
    return warned(Code.NOT_CHECKED, f"Not checked: {reason}.")


def _warnings(count: int) -> str:
    return f"{count} warning{'' if count == 1 else 's'}"
