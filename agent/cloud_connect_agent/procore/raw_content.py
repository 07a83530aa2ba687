"""Pure: what a raw call's body says of company, project and fields, as far as it is looked into."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from cloud_connect import strict_json
from cloud_connect.errors import InvalidRequestError, PolicyDeniedError
from cloud_connect_agent.policy.fields import leaf_names
from cloud_connect_agent.procore.forms_watched import (
    MAX_PART_HEAD,
    SCOPE,
    FormWatch,
    boundary_of,
    part_of,
)
from cloud_connect_agent.procore.target import Pairs, dotted, named, split_pairs

__all__ = ["RawContent", "is_parsed", "read_content"]

_FORM: Final = "application/x-www-form-urlencoded"
_MAX_PARTS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class RawContent:
    """What a body names.

    Attributes:
        understood: Whether all of it was looked into, or will be as it passes.
        companies: Ids, as written, at whatever depth.
        projects: Likewise, but at its top only, where they say what the call is about.
        nested: Those deeper in it.
        fields: What it sets, with dots; ``None`` if it was not looked into.
        watch: Has to see what comes after its start.
    """

    understood: bool = False
    companies: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()
    nested: frozenset[str] = frozenset()
    fields: frozenset[str] | None = None
    watch: FormWatch | None = None


def read_content(data: bytes, kind: str, *, complete: bool, placed: bool) -> RawContent:
    """Look into a body.

    Args:
        kind: Its content type; without one, Procore may take it for a form.
        complete: Whether *data* is all of it.
        placed: Whether the path says whose it is, so that the body cannot.

    Raises:
        InvalidRequestError: If it could mean another thing to Procore than it does to us.
        PolicyDeniedError: If it is too long to tell whose it is.
    """
    media = _media(kind)
    if not data and complete:
        return RawContent(understood=True, fields=frozenset())
    if media == "multipart/form-data":
        form = _of_form(data, kind, complete=complete)
        if not (form.understood or placed):
            raise PolicyDeniedError(
                "The form is not one whose parts can be told apart, so that it may name another "
                "company; name it or the project in the path. (rule body-binding)"
            )
        return form
    if complete:
        if "json" in media:
            return _of_json(data)
        if media in {"", _FORM}:
            return _of_pairs(split_pairs(data.decode("latin-1")))
    if not placed and is_parsed(kind):
        raise PolicyDeniedError(
            "The body is too long to tell which company and project it names; name one of them in "
            "the path, or send less at once. (rule body-binding)"
        )
    return RawContent()


def is_parsed(kind: str) -> bool:
    """Whether Procore reads parameters out of a body of the content type *kind*."""
    media = _media(kind)
    return "json" in media or media == _FORM


def _media(kind: str) -> str:
    return kind.lower().partition(";")[0].strip()


def _of_json(data: bytes) -> RawContent:
    try:
        document = strict_json.parse(data)
    except strict_json.StrictJsonError as error:
        # A parser that is more lenient than ours might find a company in it.
        raise InvalidRequestError(f"The body {error}.") from error
    found: dict[str, set[str]] = {name: set() for name in SCOPE}
    for name, value in _members(document):
        if name in found and value is not None:
            found[name].add(str(value))
    first = document.get("project_id") if isinstance(document, dict) else None
    own = frozenset() if first is None else frozenset({str(first)})
    return RawContent(
        understood=True,
        companies=frozenset(found["company_id"]),
        projects=own,
        nested=frozenset(found["project_id"]) - own,
        fields=leaf_names(document),
    )


def _members(document: object) -> Iterator[tuple[str, object]]:
    level: list[object] = [document]
    while level:
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                yield from value.items()
                below += value.values()
            elif isinstance(value, list):
                below += value
        level = [value for value in below if isinstance(value, dict | list)]


def _of_pairs(pairs: Pairs) -> RawContent:
    if any(named(name) == "_method" for name, _ in pairs):
        raise InvalidRequestError("The form field _method is not passed on.")
    own = frozenset(value for name, value in pairs if named(name) == "project_id")
    inner = [(dotted(name).rpartition("."), value) for name, value in pairs]
    return RawContent(
        understood=True,
        companies=frozenset(value for name, value in pairs if named(name) == "company_id")
        | frozenset(value for (above, _, last), value in inner if above and last == "company_id"),
        projects=own,
        nested=frozenset(
            value for (above, _, last), value in inner if above and last == "project_id"
        )
        - own,
        fields=frozenset(dotted(name) for name, _ in pairs if name),
    )


def _of_form(data: bytes, kind: str, *, complete: bool) -> RawContent:
    """Read the names and short values of a form's parts, as far as they came."""
    boundary = boundary_of(kind)
    if boundary is None or not data.startswith(b"--" + boundary + b"\r\n"):
        return RawContent()
    parts = data.split(b"\r\n--" + boundary, _MAX_PARTS + 1)
    if len(parts) > _MAX_PARTS:
        raise InvalidRequestError(f"The form has more than {_MAX_PARTS} parts.")
    pairs = []
    for place, part in enumerate(parts):
        head, separator, content = part.partition(b"\r\n\r\n")
        if place and part[:2] == b"--":
            break  # the end; what follows is no part
        if not separator and not complete and place == len(parts) - 1:
            break  # the watch reads it when it is whole
        found = part_of(head) if separator and len(head) <= MAX_PART_HEAD else None
        if found is None:
            return RawContent()
        name, is_file = found
        pairs.append((name, "" if is_file else content.decode("latin-1").strip()))
    seen = _of_pairs(pairs)
    return seen if complete else replace(seen, fields=None, watch=FormWatch(boundary, data))
