"""Partner default query parameters: conditions that every query of a partner is bound to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from cloud_connect.condition_groups import is_group
from cloud_connect.errors import InsufficientScopeError, InvalidRequestError
from cloud_connect.mappings import mappings_of, records_of
from cloud_connect.query import Condition, Group, Junction, Operator, Query

__all__ = ["PartnerRules", "Verb"]

_ONE_VALUE: Final = frozenset({"isbetween"})  # takes two dates, where a list's filter has a value


class Verb(StrEnum):
    """The query types of the security dialog."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"


_VERBS: Final = {
    "create": Verb.CREATE,
    "insert": Verb.CREATE,
    "read": Verb.READ,
    "select": Verb.READ,
    "update": Verb.UPDATE,
    "delete": Verb.DELETE,
    "remove": Verb.DELETE,
}
_TYPE_MEMBERS: Final = ("queryType", "type", "action")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One mapping of the dialog.

    Attributes:
        given: Its conditions as the platform wrote them, which is how they go into queries.
        flat: The same, if all of them must hold; ``None`` if some are alternatives.
        fields: What they are about.
    """

    verb: Verb
    table: str
    given: tuple[Any, ...]
    flat: tuple[Condition, ...] | None
    fields: frozenset[str]

    @classmethod
    def parse(cls, item: object) -> Self:
        """Read one mapping.

        Raises:
            ValueError: Saying what is wrong with it.
        """
        if not isinstance(item, Mapping):
            raise ValueError("a mapping is an object")  # noqa: TRY004  one kind of error
        verb, table = _verb(item), _table(item)
        conditions = item.get("conditions")
        given = [] if conditions is None else conditions
        given = given if isinstance(given, list) else [given]
        try:
            query = Query.parse(
                {"action": "select", "info": {"name": table}, "conditions": _joined(given)}
            )
        except InvalidRequestError as error:
            raise ValueError(error.message) from error
        flat = _flat(query.condition)
        if verb is Verb.CREATE and (
            flat is None or any(one.operator is not Operator.EQ for one in flat)
        ):
            raise ValueError(
                "conditions of the type Create give new records their values, so each must be 'eq',"
                " and all must hold"
            )
        return cls(
            verb=verb,
            table=table,
            given=tuple(given),
            flat=flat,
            fields=frozenset(_fields(query.condition)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerRules:
    """All mappings of one data source; a query that none is about is refused."""

    _rules: tuple[_Rule, ...]

    @classmethod
    def parse(cls, mappings: Iterable[object]) -> Self:
        """Read the mappings of the dialog.

        Raises:
            ValueError: Saying which is wrong, and what.
        """
        rules = []
        for place, item in enumerate(mappings):
            try:
                rules.append(_Rule.parse(item))
            except ValueError as error:
                raise ValueError(f"mapping {place}: {error}") from error
        made = cls(_rules=tuple(rules))
        for rule in rules:
            if rule.verb is Verb.CREATE:
                _values([one for one in rules if (one.verb, one.table) == (rule.verb, rule.table)])
        return made

    def query(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the platform's query *document*, bound.

        Raises:
            InsufficientScopeError: If no mapping is about it, or it writes what is fixed.
            InvalidRequestError: If it is malformed.
        """
        action = document.get("action")
        verb = _VERBS.get(action.strip().lower()) if isinstance(action, str) else None
        info = document.get("info")
        table = info.get("name") if isinstance(info, Mapping) else None
        rules = self._about(verb, table)
        if verb is Verb.CREATE:
            return _created(document, _values(rules))
        if verb is Verb.UPDATE:
            _check_written(document, rules)
        fields: frozenset[str] = frozenset()
        if verb is Verb.READ:  # a write may only become narrower than it was designed
            fields = fields.union(*(rule.fields for rule in rules))
        designed = document.get("conditions")
        designed = [] if designed is None else designed
        designed = designed if isinstance(designed, list) else [designed]
        bound = [part for rule in rules for part in _joined(rule.given)]
        return {**document, "conditions": [*_without(designed, fields), *bound]}

    def listed(self, resource: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a list of records, bound.

        Raises:
            InsufficientScopeError: If no mapping is about it, or a list cannot follow it.
        """
        rules = self._about(Verb.READ, resource)
        filters = [_filter(one) for rule in rules for one in _needed(rule)]
        fields = frozenset[str]().union(*(rule.fields for rule in rules))
        kept = [one for one in params.get("filters", ()) if one["field"] not in fields]
        scope = params.get("scope", {}).items()
        return {
            **params,
            "filters": [*kept, *filters],
            "scope": {name: value for name, value in scope if name not in fields},
        }

    def created(
        self, resource: str, params: Mapping[str, Any], document: Any
    ) -> tuple[dict[str, Any], Any]:
        """Return parameters and records of a create, bound.

        Raises:
            InsufficientScopeError: If no mapping is about it.
        """
        values = _values(self._about(Verb.CREATE, resource))
        scope = params.get("scope", {}).items()
        given = {**params, "scope": {name: value for name, value in scope if name not in values}}
        if isinstance(document, list):
            return given, [_with_values(record, values) for record in document]
        return given, _with_values(document, values)

    def tree(self, nodes: Iterable[Any]) -> list[Any]:
        """Return the tables of the tree that some mapping is about."""
        tables = {rule.table for rule in self._rules}
        kept = []
        for node in nodes:
            if not isinstance(node, Mapping):
                continue
            if node.get("selectable"):
                if node.get("name") in tables:
                    kept.append(node)
            elif below := self.tree(node.get("nodes") or ()):
                kept.append({**node, "nodes": below})
        return kept

    def _about(self, verb: Verb | None, table: object) -> list[_Rule]:
        found = [rule for rule in self._rules if (rule.verb, rule.table) == (verb, table)]
        if not found:
            raise InsufficientScopeError(
                "Partners may not do this here: the data source's default query parameters do not"
                f" mention {'this' if verb is None else verb.value.capitalize()} on this table."
            )
        return found


def _verb(item: Mapping[str, Any]) -> Verb:
    value = next((item[name] for name in _TYPE_MEMBERS if item.get(name)), None)
    verb = _VERBS.get(value.strip().lower()) if isinstance(value, str) else None
    if verb is None:
        raise ValueError("'queryType' must be Create, Read, Update or Delete")
    return verb


def _table(item: Mapping[str, Any]) -> str:
    value = item.get("table") or item.get("info")
    name = value.get("name") if isinstance(value, Mapping) else value
    if not isinstance(name, str) or not name.strip():
        raise ValueError("'table' must be the name of a table of the tree")
    return name


def _joined(given: Iterable[Any]) -> list[dict[str, Any]]:
    conditions = list(given)
    return [{"group": "and", "conditions": conditions}] if conditions else []


def _fields(part: "Group | Condition | None") -> set[str]:
    match part:
        case None:
            return set()
        case Condition():
            return {part.field}
        case Group():
            return set().union(*(_fields(one) for one in part.conditions))


def _flat(part: "Group | Condition | None") -> tuple[Condition, ...] | None:
    """Return the conditions of which each must hold; ``None`` if some are alternatives."""
    match part:
        case None:
            return ()
        case Condition():
            return (part,)
        case Group():
            if part.group is Junction.OR and len(part.conditions) > 1:
                return None
            below = [_flat(one) for one in part.conditions]
            if any(one is None for one in below):
                return None
            return tuple(one for some in below for one in some or ())


def _values(rules: Iterable[_Rule]) -> dict[str, Any]:
    """Return the values that new records get.

    Raises:
        ValueError: If two mappings give a field different ones.
    """
    values: dict[str, Any] = {}
    for rule in rules:
        for one in rule.flat or ():
            if values.setdefault(one.field, one.arg2.value) != one.arg2.value:
                raise ValueError(f"two mappings give '{one.field}' different values")
    return values


def _without(members: list[Any], fields: frozenset[str]) -> list[Any]:
    """Leave out conditions on *fields* that must hold; alternatives stay, the bound ones decide."""
    kept = []
    for item in members:
        if isinstance(item, Mapping) and is_group(item):
            nested = item["conditions"]
            if isinstance(nested, list) and _is_and(item.get("group")):
                kept.append({**item, "conditions": _without(nested, fields)})
                continue
        elif isinstance(item, Mapping):
            argument = item.get("arg1")
            if isinstance(argument, Mapping) and argument.get("name") in fields:
                continue
        kept.append(item)
    return kept


def _is_and(group: object) -> bool:
    return group is None or (isinstance(group, str) and group.strip().lower() in {"", "and"})


def _written(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a query writes, wherever it says so."""
    info = document.get("info")
    older = info.get("mappings") if isinstance(info, Mapping) else None
    older = older.get("inputmappings") if isinstance(older, Mapping) else None
    return mappings_of(document.get("mappings")) or mappings_of(older)


def _created(document: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    if document.get("records") is not None:
        records = records_of(document["records"])
        return {**document, "records": [_with_values(one, values) for one in records]}
    return {**document, "mappings": _with_values(_written(document), values)}


def _with_values(record: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        name: value
        for name, value in record.items()
        if not any(_overlap(name, fixed) for fixed in values)
    }
    return {**own, **values}


def _overlap(one: str, other: str) -> bool:
    """Whether two names are of one field, or one of a part of the other."""
    one, other = f"{one.casefold()}.", f"{other.casefold()}."
    return one.startswith(other) or other.startswith(one)


def _check_written(document: Mapping[str, Any], rules: Iterable[_Rule]) -> None:
    """Refuse an update that would move records out of what its conditions select.

    Raises:
        InsufficientScopeError: Naming the field.
    """
    for name in _written(document):
        for rule in rules:
            if any(_overlap(name, field) for field in rule.fields):
                raise InsufficientScopeError(
                    f"Partners may not change '{name[:60]}' here: the data source's default query"
                    " parameters choose records by it."
                )


def _needed(rule: _Rule) -> tuple[Condition, ...]:
    if rule.flat is None:
        raise _only_queries()
    return rule.flat


def _filter(condition: Condition) -> dict[str, Any]:
    """Return a condition as a list of records takes it."""
    value = condition.arg2.value
    if condition.operator.value in _ONE_VALUE:
        raise _only_queries()
    match value:
        case None:
            text = None
        case bool():
            text = "true" if value else "false"
        case str() | int() | float():
            text = str(value)
        case list() if all(isinstance(one, str | int) and "," not in str(one) for one in value):
            text = ",".join(str(one) for one in value)
        case _:
            raise _only_queries()
    return {"field": condition.field, "operator": condition.operator.value, "value": text}


def _only_queries() -> InsufficientScopeError:
    return InsufficientScopeError(
        "The data source's default query parameters for partners cannot be applied to a list of"
        " records; send a query instead."
    )
