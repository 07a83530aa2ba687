"""The query parameters of ``records/…``: scope ids, filters, sort, fields and limit."""

import re
from collections.abc import Iterable
from typing import Any, Final

from pydantic import ValidationError

from cloud_connect.calls import Filter
from cloud_connect.errors import InvalidRequestError

__all__ = ["dry_run_of", "list_params", "resource_params", "show_params", "shown"]

_FILTER: Final = re.compile(r"filter\[([^\[\]]{1,200})\](?:\[([A-Za-z_]{1,20})\])?", re.ASCII)
_SCOPE: Final = re.compile(r"[a-z][a-z0-9_]{0,60}_id", re.ASCII)
_RESOURCE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_RECORD_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_MAX_SCOPE: Final = 16
_MAX_FILTERS: Final = 100
_MAX_SORT: Final = 10
_MAX_FIELDS: Final = 500
_MAX_VALUE: Final = 4096  # characters of one value
_MAX_LIMIT: Final = 2**53  # what every JSON reader takes for a whole number

_KNOWN_OF_RECORDS: Final = "scope ids such as project_id, and dryRun for writes"
_KNOWN_OF_ONE: Final = "fields and scope ids such as project_id"
_KNOWN_OF_LISTS: Final = "filter[field], sort, fields, limit and scope ids such as project_id"

Pairs = Iterable[tuple[str, str]]


def resource_params(resource: str, record_id: str | None, pairs: Pairs) -> dict[str, Any]:
    """Return the parameters of a call for one record, or for a new one: scope ids only.

    Raises:
        InvalidRequestError: Naming what is malformed or not known.
    """
    params = _place(resource, record_id)
    scope: dict[str, str] = {}
    for name, value in pairs:
        _add_scope(scope, name, value, known=_KNOWN_OF_RECORDS)
    if scope:
        params["scope"] = scope
    return params


def show_params(resource: str, record_id: str, pairs: Pairs) -> dict[str, Any]:
    """Return the parameters of a call that reads one record: scope ids, and ``fields``.

    Raises:
        InvalidRequestError: Naming what is malformed or not known.
    """
    params = _place(resource, record_id)
    scope: dict[str, str] = {}
    fields: list[str] = []
    for name, value in pairs:
        if name == "fields":
            fields += _listed(name, value)
        else:
            _add_scope(scope, name, value, known=_KNOWN_OF_ONE)
    if len(fields) > _MAX_FIELDS:
        raise InvalidRequestError(f"The parameter 'fields' names more than {_MAX_FIELDS} fields.")
    params.update({name: value for name, value in (("scope", scope), ("fields", fields)) if value})
    return params


def dry_run_of(pairs: Pairs) -> tuple[list[tuple[str, str]], bool]:
    """Return the parameters of a write without ``dryRun``, and whether it is one.

    However it is spelt, it is meant: to take ``dry_run`` for a scope id would write.

    Raises:
        InvalidRequestError: If that is neither true nor false, or comes twice.
    """
    rest: list[tuple[str, str]] = []
    wishes: list[str] = []
    for name, value in pairs:
        if name.replace("_", "").lower() == "dryrun":
            wishes.append(value)
        else:
            rest.append((name, value))
    if len(wishes) > 1 or not {"true", "false"}.issuperset(wishes):
        raise InvalidRequestError("The parameter 'dryRun' must be true or false, and come once.")
    return rest, wishes == ["true"]


def list_params(resource: str, pairs: Pairs) -> dict[str, Any]:
    """Return the parameters of a list.

    Raises:
        InvalidRequestError: Naming what is malformed or not known.
    """
    params = _place(resource, None)
    scope: dict[str, str] = {}
    filters: list[dict[str, Any]] = []
    names: dict[str, list[str]] = {"sort": [], "fields": []}
    for name, value in pairs:
        if name in names:
            names[name].extend(_listed(name, value))
        elif name == "limit":
            params["limit"] = _limit(value)
        elif (match := _FILTER.fullmatch(name)) is not None:
            filters.append(_filter(name, match, value))
        else:
            _add_scope(scope, name, value, known=_KNOWN_OF_LISTS)
    for name, most in (("sort", _MAX_SORT), ("fields", _MAX_FIELDS)):
        if len(names[name]) > most:
            raise InvalidRequestError(f"The parameter '{name}' names more than {most} fields.")
    if len(filters) > _MAX_FILTERS:
        raise InvalidRequestError(f"The request has more than {_MAX_FILTERS} filters.")
    optional: dict[str, Any] = {**names, "filters": filters, "scope": scope}
    params.update({name: value for name, value in optional.items() if value})
    return params


def _place(resource: str, record_id: str | None) -> dict[str, Any]:
    if _RESOURCE.fullmatch(resource) is None:
        raise InvalidRequestError(
            f"The resource '{shown(resource)}' is not known; names are in snake case, such as"
            " purchase_order_contracts."
        )
    if record_id is None:
        return {"resource": resource}
    if _RECORD_ID.fullmatch(record_id) is None:
        raise InvalidRequestError(f"'{shown(record_id)}' cannot be the id of a record.")
    return {"resource": resource, "record_id": record_id}


def _add_scope(scope: dict[str, str], name: str, value: str, *, known: str) -> None:
    if _SCOPE.fullmatch(name) is None:
        raise InvalidRequestError(f"The parameter '{shown(name)}' is not known; there are {known}.")
    if name in scope:
        raise InvalidRequestError(f"The parameter '{name}' comes twice.")
    if not value:
        raise InvalidRequestError(f"The parameter '{name}' is empty.")
    scope[name] = _bounded(name, value)
    if len(scope) > _MAX_SCOPE:
        raise InvalidRequestError(f"The request has more than {_MAX_SCOPE} scope ids.")


def _filter(name: str, match: "re.Match[str]", value: str) -> dict[str, Any]:
    try:
        wanted = Filter(field=match[1], operator=match[2] or "eq", value=value)
    except ValidationError as error:
        raise InvalidRequestError(
            f"The parameter '{shown(name)}' is longer than is taken."
        ) from error
    return wanted.model_dump(mode="json")


def _listed(name: str, value: str) -> list[str]:
    return [part.strip() for part in _bounded(name, value).split(",") if part.strip()]


def _limit(value: str) -> int:
    if value.isascii() and value.isdecimal() and len(value) <= 16 and int(value) <= _MAX_LIMIT:
        return int(value)
    raise InvalidRequestError("The parameter 'limit' must be a whole number from 0 on.")


def _bounded(name: str, value: str) -> str:
    if len(value) > _MAX_VALUE:
        raise InvalidRequestError(f"The parameter '{name}' is longer than {_MAX_VALUE} characters.")
    return value


def shown(text: str) -> str:
    """Show a name in a message: short, and nothing but what can be printed."""
    return "".join(one if one.isprintable() else "?" for one in text[:60])
