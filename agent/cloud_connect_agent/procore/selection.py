"""Pure: what somebody wants to read, in one form for queries and for record lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cloud_connect.calls import RecordParams
from cloud_connect.errors import InvalidRequestError
from cloud_connect.query import Condition, FilterMode, Group, Operator, Query
from cloud_connect_agent.procore.catalog import Direction, Resource
from cloud_connect_agent.procore.filters import fields_of

__all__ = ["READABLE", "Order", "Selection", "selection_of_params", "selection_of_query"]

READABLE: Final = (Direction.OUT, Direction.BOTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One field to sort by."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What somebody wants to read, in one form for queries and for record lists.

    Attributes:
        scope: Scope ids that were given outright, not in conditions.
        shown: One record is asked for by its id: that it is missing is Procore's refusal.
    """

    resource: Resource
    condition: Group | None = None
    fields: tuple[str, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    cursor: str | None = None
    scope: Mapping[str, str] = field(default_factory=dict)
    shown: bool = False

    @property
    def unknown(self) -> tuple[str, ...]:
        """The names used that the catalogue does not know."""
        names = [*self.fields, *fields_of(self.condition), *(order.field for order in self.order)]
        known = self.resource.knows
        return tuple(dict.fromkeys(name for name in names if not known(name, READABLE)))


def selection_of_query(resource: Resource, query: Query) -> Selection:
    """Read a query's selecting members.

    Raises:
        InvalidRequestError: If they cannot be carried out; the message names the member.
    """
    condition = query.condition
    if query.filter:
        by = query.filter_by or next(iter(query.fields), "")
        if not by:
            raise InvalidRequestError("“filter” is given, but “filterBy” names no field.")
        operators = {
            FilterMode.CONTAINS: Operator.CONTAINS,
            FilterMode.STARTSWITH: Operator.STARTSWITH,
        }
        typed = Condition.of(by, operators[query.filter_mode], query.filter)
        condition = Group(conditions=(typed, condition) if condition else (typed,))
    order = Order(field=query.order_by, descending=not query.order_ascending)
    return Selection(
        resource=resource,
        condition=condition,
        fields=tuple(dict.fromkeys(query.fields)),
        order=(order,) if query.order_by else (),
        limit=query.row_limit,
        cursor=query.paging,
    )


def selection_of_params(resource: Resource, params: RecordParams) -> Selection:
    """Read what a record list asks for.

    Raises:
        InvalidRequestError: If an operator or a scope id is unknown; the message names it.
    """
    conditions = []
    for item in params.filters:
        try:
            operator = Operator(item.operator.lower())
        except ValueError:
            raise InvalidRequestError(
                f"The operator “{item.operator}” of the filter on “{item.field}” is not known."
            ) from None
        conditions.append(Condition.of(item.field, operator, item.value))
    return Selection(
        resource=resource,
        condition=Group(conditions=tuple(conditions)) if conditions else None,
        fields=tuple(dict.fromkeys(params.fields or ())),
        order=tuple(
            Order(field=name.removeprefix("-"), descending=name.startswith("-"))
            for name in params.sort
        ),
        limit=params.limit,
        scope=params.scope,
    )
