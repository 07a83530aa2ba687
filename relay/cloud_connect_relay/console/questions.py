"""What a person asks a table for: the form of the explorer, and the query that it stands for."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cloud_connect_relay.console.conditions import (
    ComparisonGroup,
    added,
    dropped,
    read_conditions,
    write_conditions,
)

if TYPE_CHECKING:
    from cloud_connect_relay.console.forms import Form
    from cloud_connect_relay.console.tables import Table

__all__ = ["Question", "changed", "read_question"]

_MAX_ROWS: Final = 1_000_000
_USUAL_ROWS: Final = 100
_MAX_CURSOR: Final = 4096
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        display: The field that people see in a drop-down.
        value: The field that a form keeps.
        all_fields: Ask for whole records, not for these two fields alone.
        project: The id of a project; empty: the data source's, or all.
        typed: What a person typed in the search box of a drop-down.
        cursor: Where an earlier answer ended.
    """

    table: "Table"
    display: str
    value: str
    sort: str = ""
    ascending: bool = True
    all_fields: bool = True
    project: str = ""
    typed: str = ""
    mode: str = "contains"
    limit: int | None = _USUAL_ROWS
    groups: tuple[ComparisonGroup, ...] = ()
    cursor: str = ""

    def document(self, *, most: int | None = None) -> dict[str, Any]:
        """Return the query as the platform sends it.

        Args:
            most: Rows at most, whatever the person said.
        """
        table = self.table
        query: dict[str, Any] = {
            "action": "select",
            "info": {"name": table.name, "text": table.text, "type": "STRUCTURE"},
        }
        if not self.all_fields:
            query["fields"] = list(dict.fromkeys([self.display, self.value]))
        conditions = write_conditions(self.groups, table)
        if self.project:
            conditions.insert(0, _in_project(self.project))
        if conditions:
            query["conditions"] = conditions
        if self.typed:
            query |= {"filter": self.typed, "filterBy": self.display, "filterMode": self.mode}
        if self.sort:
            query |= {"orderBy": self.sort, "orderAscending": self.ascending}
        limit = self.limit if most is None else min(most, self.limit or most)
        if limit is not None:
            query["rowLimit"] = limit
        if self.cursor:
            query["paging"] = self.cursor
        return query


def read_question(form: "Form", table: "Table") -> Question:
    """Read the form; what is wrong with it is said on it."""
    names = [field.name for field in table.outputs]
    sort = form.choice("sort", ["", *names], label="a field to sort by", default="")
    limit = form.number("limit", label="Row limit", minimum=1, maximum=_MAX_ROWS)
    return Question(
        table=table,
        display=form.choice("display", names, label="a display field", default=table.display),
        value=form.choice("value", names, label="a value field", default=table.value),
        sort=sort,
        ascending=form.value("direction") != "desc",
        all_fields=form.value("fields", "all") != "pair",
        project=form.text(
            "project",
            label="Project id",
            pattern=_ID,
            rule="The id of a project is a number, such as 562949953443325.",
        ),
        typed=form.text("typed", label="What a person types"),
        mode=form.choice("mode", ("contains", "startswith"), label="how", default="contains"),
        limit=limit if form.has("limit") else _USUAL_ROWS,
        groups=read_conditions(form, table),
        cursor=form.text("cursor", label="The place", max_length=_MAX_CURSOR),
    )


def changed(question: Question, deed: str) -> tuple[ComparisonGroup, ...]:
    """Return the conditions after what a button of the form does: ``add-0``, ``drop-0-1``."""
    verb, *places = deed.split("-")
    numbers = [int(place) for place in places if place.isascii() and place.isdigit()]
    match verb, numbers:
        case "add", [at]:
            return added(question.groups, question.table, at)
        case "add", _:
            return added(question.groups, question.table, None)
        case "drop", [at, index]:
            return dropped(question.groups, at, index)
        case _:
            return question.groups


def _in_project(project: str) -> dict[str, Any]:
    argument = {"name": "project_id", "text": "Project", "type": "number"}
    condition = {"operator": "eq", "arg1": argument, "arg2": {"value": project}}
    return {"group": "and", "conditions": [condition]}
