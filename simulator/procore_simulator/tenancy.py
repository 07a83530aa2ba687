"""Companies, projects and who may do what in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

__all__ = ["OFF", "Company", "Level", "Permissions", "Project"]


class Level(IntEnum):
    """A tool's access level, in Procore's order."""

    NONE = 0
    READ = 1
    STANDARD = 2
    ADMIN = 3

    @property
    def title(self) -> str:
        """The level's name as Procore shows it."""
        return ("None", "Read Only", "Standard", "Admin")[self]


OFF = "off"
"""What is said of a tool that is switched off in a project."""


@dataclass(slots=True, kw_only=True)
class Company:
    """A company account; ``first_id`` is where the ids of its zone begin."""

    id: int
    name: str
    first_id: int
    ordinal: int
    zone: str
    visible: bool = True
    """Whether the app's users and service account are members."""
    connected: bool = True
    """Whether its admin has connected the app."""
    is_active: bool = True
    permitted_projects: frozenset[int] | None = None
    """What the service account may enter; ``None`` means every project."""
    retired_custom_fields: frozenset[int] = frozenset()
    """Custom fields its admin has removed since."""
    retyped_custom_fields: Mapping[int, str] = field(default_factory=dict)
    """Custom fields that have another type since, and which."""
    next_id: int = 0

    @property
    def changed_custom_fields(self) -> bool:
        """Whether its admin has changed them since."""
        return bool(self.retired_custom_fields or self.retyped_custom_fields)


@dataclass(slots=True, kw_only=True)
class Project:
    """A project of a company."""

    id: int
    name: str
    company: Company
    ordinal: int
    seeded: bool = True
    """Whether it starts with made-up rows; one created at run time does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    level: Level | None
    """``None`` is a tool that is switched off."""


@dataclass(slots=True)
class Permissions:
    """Tool levels of an environment; what nothing is said about is Admin."""

    _rules: dict[tuple[int, int | None, str], _Rule] = field(default_factory=dict)

    def set_level(
        self, *, company_id: int, project_id: int | None, tool: str, level: Level | None
    ) -> None:
        """Set one tool's level; without a project, in the company and all its projects."""
        self._rules[company_id, project_id, tool] = _Rule(level=level)

    def level(self, *, company_id: int, project_id: int | None, tool: str) -> Level | None:
        """Return the level, or ``None`` when the tool is off."""
        if not self._rules:
            return Level.ADMIN
        for project in (project_id, None):
            for name in (tool, "*"):
                rule = self._rules.get((company_id, project, name))
                if rule is not None:
                    return rule.level
        return Level.ADMIN

    def clear(self) -> None:
        """Give everybody everything again."""
        self._rules.clear()

    def describe(self) -> list[dict[str, object]]:
        """List the rules as the admin API takes them."""
        return [
            {
                "company_id": company_id,
                "project_id": project_id,
                "tool": tool,
                "level": OFF if rule.level is None else rule.level.name.lower(),
            }
            for (company_id, project_id, tool), rule in self._rules.items()
        ]
