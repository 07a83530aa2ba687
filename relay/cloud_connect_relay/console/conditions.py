"""The conditions of a query as a form has them: groups of comparisons, and what fits each type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cloud_connect.query import Operator

if TYPE_CHECKING:
    from cloud_connect_relay.console.forms import Form
    from cloud_connect_relay.console.tables import Table

__all__ = [
    "Comparison",
    "ComparisonGroup",
    "added",
    "any_operators",
    "dropped",
    "operators_for",
    "read_conditions",
    "write_conditions",
]

MAX_GROUPS: Final = 10
MAX_COMPARISONS: Final = 30  # of one group
_MAX_VALUE: Final = 4096  # characters

_ORDER: Final = {
    Operator.LT: "is less than",
    Operator.LE: "is at most",
    Operator.GT: "is greater than",
    Operator.GE: "is at least",
}
_BLANK: Final = {Operator.ISBLANK: "is blank", Operator.ISNOTBLANK: "is not blank"}
_SEVERAL: Final = {Operator.IN: "is one of", Operator.NOTIN: "is none of"}
_TEXT: Final = {
    Operator.EQ: "equals",
    Operator.NE: "does not equal",
    Operator.CONTAINS: "contains",
    Operator.NOTCONTAINS: "does not contain",
    Operator.STARTSWITH: "starts with",
    Operator.ENDSWITH: "ends with",
    **_SEVERAL,
    Operator.MATCHES: "matches pattern",
    Operator.LT: "sorts before",
    Operator.LE: "sorts before or equals",
    Operator.GT: "sorts after",
    Operator.GE: "sorts after or equals",
    **_BLANK,
}
_NUMBER: Final = {
    Operator.EQ: "equals",
    Operator.NE: "does not equal",
    **_ORDER,
    **_SEVERAL,
    **_BLANK,
}
_DATE: Final = {
    Operator.EQ: "is on",
    Operator.NE: "is not on",
    Operator.ISBEFORE: "is before",
    Operator.LE: "is on or before",
    Operator.ISAFTER: "is after",
    Operator.GE: "is on or after",
    Operator.ISBETWEEN: "is between",
    Operator.ISTODAY: "is today",
    Operator.ISBEFORETODAY: "is before today",
    Operator.ISAFTERTODAY: "is after today",
    Operator.INLASTDAYS: "is in the last … days",
    Operator.INNEXTDAYS: "is in the next … days",
    **_BLANK,
}
_BOOLEAN: Final = {Operator.EQ: "is", Operator.NE: "is not", **_BLANK}
_BY_TYPE: Final[Mapping[str, Mapping[Operator, str]]] = {
    "number": _NUMBER,
    "date": _DATE,
    "boolean": _BOOLEAN,
}
_ALONE: Final = frozenset(
    {
        Operator.ISBLANK,
        Operator.ISNOTBLANK,
        Operator.ISTODAY,
        Operator.ISBEFORETODAY,
        Operator.ISAFTERTODAY,
    }
)
_DAYS: Final = frozenset({Operator.INLASTDAYS, Operator.INNEXTDAYS})


def operators_for(kind: str) -> Mapping[Operator, str]:
    """Return the operators that fit a type of field, in words."""
    return _BY_TYPE.get(kind, _TEXT)


def any_operators() -> Mapping[Operator, str]:
    """Return all operators, in words that fit where the type is not known."""
    return {**_TEXT, **_DATE, **_NUMBER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A field compared with a value.

    Attributes:
        until: The second day of ``isbetween``.
        fault: What is wrong with it.
    """

    field: str
    kind: str
    operator: Operator
    value: str = ""
    until: str = ""
    fault: str = ""

    @property
    def input(self) -> str:
        """Return what asks for its value: ``none``, ``days``, ``list``, ``boolean`` or a type."""
        if self.operator in _ALONE:
            return "none"
        if self.operator in _DAYS:
            return "days"
        if self.operator in _SEVERAL:
            return "list"
        return self.kind if self.kind in _BY_TYPE else "text"

    @property
    def has_two(self) -> bool:
        """Whether it takes a second value."""
        return self.operator is Operator.ISBETWEEN

    def checked(self) -> "Comparison":
        """Return the same with what is wrong with it."""
        if self.input == "none":
            return self
        if not self.value or (self.has_two and not self.until):
            return replace(self, fault="Enter what to compare with, or choose “is blank”.")
        if len(self.value) > _MAX_VALUE:
            return replace(self, fault=f"This has at most {_MAX_VALUE} characters.")
        if self.input == "days" and not (self.value.isascii() and self.value.isdigit()):
            return replace(self, fault="Enter a whole number of days.")
        return self

    def document(self, table: "Table") -> dict[str, Any]:
        """Return it as the platform writes it."""
        field = table.field(self.field)
        text = self.field if field is None else field.text
        return {
            "operator": self.operator.value,
            "arg1": {"name": self.field, "text": text, "type": self.kind},
            "arg2": self._operand(),
        }

    def _operand(self) -> dict[str, Any]:
        if self.input == "none":
            return {}
        if self.has_two:
            return {"date1": self.value, "date2": self.until}
        if self.input == "list":
            return {"value": [part.strip() for part in self.value.split(",") if part.strip()]}
        return {"value": self.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonGroup:
    """Comparisons of which all must hold, or one."""

    junction: str
    comparisons: tuple[Comparison, ...]


Conditions = tuple[ComparisonGroup, ...]


def read_conditions(form: "Form", table: "Table") -> Conditions:
    """Read the groups of a form, and say on it what is wrong with them."""
    groups: list[ComparisonGroup] = []
    while len(groups) < MAX_GROUPS and form.has(f"group-{len(groups)}"):
        at = len(groups)
        comparisons: list[Comparison] = []
        while len(comparisons) < MAX_COMPARISONS and form.has(f"c-{at}-{len(comparisons)}-field"):
            one = _read_one(form, table, f"c-{at}-{len(comparisons)}").checked()
            if one.fault:
                form.fault(f"c-{at}-{len(comparisons)}", one.fault)
            comparisons.append(one)
        junction = "or" if form.value(f"group-{at}") == "or" else "and"
        groups.append(ComparisonGroup(junction=junction, comparisons=tuple(comparisons)))
    return tuple(groups)


def write_conditions(groups: Sequence[ComparisonGroup], table: "Table") -> list[dict[str, Any]]:
    """Return the groups as the platform writes them; an empty one says nothing."""
    return [
        {
            "group": group.junction,
            "conditions": [one.document(table) for one in group.comparisons],
        }
        for group in groups
        if group.comparisons
    ]


def added(groups: Conditions, table: "Table", at: int | None) -> Conditions:
    """Return the groups with one more comparison, in group *at* or in one of its own."""
    name = table.display
    fresh = Comparison(field=name, kind=table.type_of(name), operator=Operator.EQ)
    if at is None or not 0 <= at < len(groups):
        alone = ComparisonGroup(junction="and", comparisons=(fresh,))
        return (*groups, alone) if len(groups) < MAX_GROUPS else groups
    group = groups[at]
    if len(group.comparisons) >= MAX_COMPARISONS:
        return groups
    fuller = replace(group, comparisons=(*group.comparisons, fresh))
    return (*groups[:at], fuller, *groups[at + 1 :])


def dropped(groups: Conditions, at: int, index: int) -> Conditions:
    """Return the groups without one comparison; a group that is empty then goes, too."""
    if not 0 <= at < len(groups):
        return groups
    kept = tuple(one for i, one in enumerate(groups[at].comparisons) if i != index)
    rest = (replace(groups[at], comparisons=kept),) if kept else ()
    return (*groups[:at], *rest, *groups[at + 1 :])


def _read_one(form: "Form", table: "Table", prefix: str) -> Comparison:
    name = form.value(f"{prefix}-field")
    if table.field(name) is None:
        name = table.display
    kind = table.type_of(name)
    known = operators_for(kind)
    sent = form.value(f"{prefix}-operator")
    operator = next((one for one in known if one.value == sent), Operator.EQ)
    value, until = form.value(f"{prefix}-value").strip(), form.value(f"{prefix}-until").strip()
    return Comparison(field=name, kind=kind, operator=operator, value=value, until=until)
