"""The platform's query: pydantic models of what it sends.

Unknown members are ignored, since the platform adds some; unknown *values* are refused by
name, since ignoring a condition would widen what a query reads, changes or deletes.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_connect.condition_groups import is_group
from cloud_connect.errors import InvalidRequestError
from cloud_connect.mappings import MAX_FIELDS, mappings_of, records_of

__all__ = [
    "Action",
    "Argument",
    "Condition",
    "FilterMode",
    "Group",
    "Junction",
    "Operator",
    "Query",
    "QueryInfo",
    "is_dry_run",
]

MAX_DEPTH: Final = 20  # groups within groups that a person could still have meant
MAX_CONDITIONS: Final = 500  # conditions of one query


class Action(StrEnum):
    """What a query does."""

    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


_SYNONYMS: Final = {"read": Action.SELECT, "create": Action.INSERT, "remove": Action.DELETE}


class Operator(StrEnum):
    """How a condition compares; text is compared without regard to case."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    CONTAINS = "contains"
    NOTCONTAINS = "notcontains"
    STARTSWITH = "startswith"
    ENDSWITH = "endswith"
    IN = "in"
    NOTIN = "notin"
    ISBLANK = "isblank"
    ISNOTBLANK = "isnotblank"
    MATCHES = "matches"
    ISTODAY = "istoday"
    ISBEFORE = "isbefore"
    ISAFTER = "isafter"
    ISBETWEEN = "isbetween"
    ISBEFORETODAY = "isbeforetoday"
    ISAFTERTODAY = "isaftertoday"
    INLASTDAYS = "inlastdays"
    INNEXTDAYS = "innextdays"


class Junction(StrEnum):
    """How a group joins its members."""

    AND = "and"
    OR = "or"


class FilterMode(StrEnum):
    """How the text typed in a list field's search box is looked for."""

    STARTSWITH = "startswith"
    CONTAINS = "contains"


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Argument(_Wire):
    """One side of a condition: a field by name, or a value."""

    name: str | None = None
    value: object = None
    date1: object = None
    date2: object = None


class Condition(_Wire):
    """A field of the source compared with a value."""

    operator: Operator
    arg1: Argument
    arg2: Argument = Argument()

    @property
    def field(self) -> str:
        """The name of the field that is compared."""
        return self.arg1.name or ""

    @classmethod
    def of(cls, field: str, operator: Operator, value: object = None) -> "Condition":
        """Build a condition from its three parts."""
        return cls(operator=operator, arg1=Argument(name=field), arg2=Argument(value=value))


class Group(_Wire):
    """Conditions and groups, joined by ``and`` or ``or``; never empty once parsed."""

    group: Junction = Junction.AND
    conditions: tuple["Condition | Group", ...] = ()


class QueryInfo(_Wire):
    """The node of the tree that was picked; ``name`` is its key."""

    name: str
    mappings: Mapping[str, object] = Field(default_factory=dict)


class Query(_Wire):
    """One query of the platform.

    Attributes:
        condition: All of the conditions as one group; ``None`` if there are none.
        mappings: Field name to value, whichever shape they came in.
        paging: The opaque cursor of an earlier answer.
        multiple: Whether an update or delete may touch more than one record.
        records: New records of an insert of several; ``None`` if it is not one.
        dry_run: Tell what would be changed, change nothing.
    """

    action: Action
    info: QueryInfo
    fields: tuple[str, ...] = ()
    condition: Group | None = None
    filter: str = ""
    filter_by: str = ""
    filter_mode: FilterMode = FilterMode.CONTAINS
    order_by: str = ""
    order_ascending: bool = True
    paging: str | None = Field(default=None, max_length=4096)
    row_limit: int | None = Field(default=None, ge=0)
    mappings: Mapping[str, object] = Field(default_factory=dict)
    multiple: bool = False
    records: tuple[Mapping[str, object], ...] | None = None
    dry_run: bool = False

    @classmethod
    def parse(cls, body: bytes | Mapping[str, object]) -> "Query":
        """Read a query as the platform sends it.

        Raises:
            InvalidRequestError: If a value is unknown or malformed; the message names it.
        """
        if isinstance(body, Mapping):
            document: object = dict(body)
        else:
            try:
                document = orjson.loads(body)
            except orjson.JSONDecodeError as exc:
                raise InvalidRequestError(f"The query is not valid JSON: {exc}.") from exc
        if not isinstance(document, dict):
            raise InvalidRequestError("The query must be a JSON object.")
        info = _info(document.get("info"))
        action = _action(document.get("action"))
        try:
            return cls(
                action=action,
                info=info,
                fields=_fields(document.get("fields")),
                condition=_conditions(document.get("conditions")),
                filter=_text(document, "filter"),
                filter_by=_text(document, "filterBy"),
                filter_mode=_filter_mode(document.get("filterMode")),
                order_by=_text(document, "orderBy"),
                order_ascending=_flag(document, "orderAscending", default=True),
                paging=_text(document, "paging") or None,
                row_limit=_row_limit(document.get("rowLimit")),
                mappings=mappings_of(document.get("mappings"))
                or mappings_of(info.mappings.get("inputmappings")),
                multiple=_flag(document, "multiple", default=False),
                records=_records(document, action),
                dry_run=is_dry_run(document),
            )
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InvalidRequestError(f"The query is wrong at “{place}”: {first['msg']}.") from exc


def is_dry_run(document: Mapping[str, object]) -> bool:
    """Whether a query asks for what it would change only.

    Unlike other unknown members, a misspelt one is not ignored: that would write.

    Raises:
        InvalidRequestError: If it is neither true nor false.
    """
    spelt = [name for name in document if name.replace("_", "").lower() == "dryrun"]
    return True in {_flag(document, name, default=False) for name in spelt}  # all are checked


def _records(
    document: Mapping[str, object], action: Action
) -> tuple[Mapping[str, object], ...] | None:
    value = document.get("records")
    if value is None:
        return None
    if action is not Action.INSERT:
        raise InvalidRequestError("“records” are new records; only an insert takes them.")
    if document.get("mappings"):
        raise InvalidRequestError("An insert takes “mappings” or “records”, not both.")
    return records_of(value)


def _action(value: object) -> Action:
    name = value.strip().lower() if isinstance(value, str) else ""
    if name in _SYNONYMS:
        return _SYNONYMS[name]
    try:
        return Action(name)
    except ValueError:
        raise InvalidRequestError(
            f"The action {_shown(value)} is not known; it is one of {_listed(Action)}."
        ) from None


def _info(value: object) -> QueryInfo:
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(name, str) or not name:
        raise InvalidRequestError("The query names no table: “info.name” is missing.")
    if value.get("filter"):
        raise InvalidRequestError(
            f"“info.filter” {_shown(value['filter'])} is not understood; use “conditions”."
        )
    mappings = value.get("mappings")
    return QueryInfo(name=name, mappings=mappings if isinstance(mappings, dict) else {})


def _fields(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_FIELDS:
        raise InvalidRequestError(f"“fields” must be a list of at most {MAX_FIELDS} names.")
    names = [item.get("name") if isinstance(item, dict) else item for item in value]
    for name in names:
        if not isinstance(name, str) or not name:
            raise InvalidRequestError(f"“fields” holds {_shown(name)}, which is not a name.")
    return tuple(name for name in names if isinstance(name, str))


def _conditions(value: object) -> Group | None:
    if value is None:
        return None
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise InvalidRequestError("“conditions” must be a list of groups.")
    return _Tree().group(Junction.AND, value, depth=0)


class _Tree:
    """Builds the tree of conditions, with bounds; empty groups vanish."""

    def __init__(self) -> None:
        self._count = 0

    def group(self, junction: Junction, members: Sequence[object], *, depth: int) -> Group | None:
        if depth > MAX_DEPTH:
            raise InvalidRequestError(f"“conditions” nest deeper than {MAX_DEPTH} groups.")
        kept = [
            part for item in members if (part := self._member(item, depth=depth + 1)) is not None
        ]
        return Group(group=junction, conditions=tuple(kept)) if kept else None

    def _member(self, item: object, *, depth: int) -> Condition | Group | None:
        if not isinstance(item, dict):
            raise InvalidRequestError(f"“conditions” holds {_shown(item)}, which is no condition.")
        if is_group(item):
            members = item["conditions"]
            if members is None:
                members = []
            if not isinstance(members, list):
                raise InvalidRequestError("A group's “conditions” must be a list.")
            return self.group(_junction(item.get("group")), members, depth=depth)
        self._count += 1
        if self._count > MAX_CONDITIONS:
            raise InvalidRequestError(f"A query may hold at most {MAX_CONDITIONS} conditions.")
        _junction(item.get("group"))
        return _condition(item)


def _condition(item: dict[str, object]) -> Condition:
    arg1, arg2 = item.get("arg1"), item.get("arg2")
    name = arg1.get("name") if isinstance(arg1, dict) else None
    if not isinstance(name, str) or not name:
        raise InvalidRequestError("A condition names no field: “arg1.name” is missing.")
    operator = item.get("operator")
    try:
        known = Operator(operator.strip().lower() if isinstance(operator, str) else "")
    except ValueError:
        raise InvalidRequestError(
            f"The operator {_shown(operator)} of the condition on “{name}” is not known; "
            f"it is one of {_listed(Operator)}."
        ) from None
    if arg2 is None:
        arg2 = {}
    if not isinstance(arg2, dict):
        raise InvalidRequestError(f"The condition on “{name}” has no “arg2” with a value.")
    return Condition(
        operator=known,
        arg1=Argument(name=name),
        arg2=Argument(value=arg2.get("value"), date1=arg2.get("date1"), date2=arg2.get("date2")),
    )


def _junction(value: object) -> Junction:
    if value is None or value == "":
        return Junction.AND
    try:
        return Junction(value.strip().lower() if isinstance(value, str) else "")
    except ValueError:
        raise InvalidRequestError(
            f"The group {_shown(value)} is not known; it is one of {_listed(Junction)}."
        ) from None


def _filter_mode(value: object) -> FilterMode:
    if value is None or value == "":
        return FilterMode.CONTAINS
    try:
        return FilterMode(value.strip().lower() if isinstance(value, str) else "")
    except ValueError:
        raise InvalidRequestError(
            f"The filterMode {_shown(value)} is not known; it is one of {_listed(FilterMode)}."
        ) from None


def _text(document: dict[str, object], member: str) -> str:
    value = document.get(member)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequestError(f"“{member}” must be text, not {_shown(value)}.")
    return value


def _flag(document: Mapping[str, object], member: str, *, default: bool) -> bool:
    value = document.get(member)
    if value is None:
        return default
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise InvalidRequestError(f"“{member}” must be true or false, not {_shown(value)}.")
    return value


def _row_limit(value: object) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequestError(
            f"“rowLimit” must be a whole number from 0 on, not {_shown(value)}."
        )
    return value


def _shown(value: object) -> str:
    """Show a value in a message: short, and quoted as people quote."""
    text = value if isinstance(value, str) else repr(value)
    return f"“{text[:60]}…”" if len(text) > 60 else f"“{text}”"


def _listed(names: type[StrEnum]) -> str:
    return ", ".join(names)
