"""Pure: what a raw call's body says of company, project and fields, as far as it is looked into."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from cloud_connect import strict_json
from cloud_connect.errors import InvalidRequestError, PolicyDeniedError
from cloud_connect_agent.policy.fields import leaf_names
from cloud_connect_agent.procore.target import Pairs, dotted, named, split_pairs

__all__ = ["RawContent", "is_parsed", "read_content"]

_FORM: Final = "application/x-www-form-urlencoded"
_SCOPE: Final = ("company_id", "project_id")
_BOUNDARY: Final = re.compile(rb"--([0-9A-Za-z'()+_,./:=? -]{1,70})(?:\r\n|--)")
_MAX_PARTS: Final = 4096
_MAX_PART_HEAD: Final = 4096  # bytes
# What every client writes; anything else could mean another name to Procore than to us.
_DISPOSITION: Final = re.compile(
    rb'content-disposition:[ \t]*form-data;[ \t]*name="([^"\\\r\n]*)"'
    rb'(;[ \t]*filename="[^"\r\n]*")?(?:;[ \t]*filename\*=[^;"\r\n]*)?[ \t]*',
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawContent:
    """What a body names.

    Attributes:
        understood: Whether all of it was looked into.
        companies: Ids, as written, at whatever depth.
        projects: Likewise, but at its top only, where they say what the call is about.
        nested: Those deeper in it.
        fields: What it sets, with dots; ``None`` if it was not looked into.
    """

    understood: bool = False
    companies: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()
    nested: frozenset[str] = frozenset()
    fields: frozenset[str] | None = None


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
        return _of_form(data, complete=complete)
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
    found: dict[str, set[str]] = {name: set() for name in _SCOPE}
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
    if any(name == "_method" for name, _ in pairs):
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


def _of_form(data: bytes, *, complete: bool) -> RawContent:
    """Read the names and short values of a form's parts, as far as they came."""
    opening = _BOUNDARY.match(data)
    if opening is None:
        return RawContent()
    pairs, understood = [], complete
    parts = data.split(b"\r\n--" + opening[1], _MAX_PARTS + 1)
    if len(parts) > _MAX_PARTS:
        raise InvalidRequestError(f"The form has more than {_MAX_PARTS} parts.")
    for part in parts:
        head, separator, content = part.partition(b"\r\n\r\n")
        if not separator or len(head) > _MAX_PART_HEAD:
            understood = understood and part.strip() in {b"--", b""}
            continue
        lines = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-disp")]
        found = _DISPOSITION.fullmatch(lines[0]) if len(lines) == 1 else None
        if found is None:
            understood = False
            continue
        value = "" if found[2] else content.decode("latin-1").strip()
        pairs.append((found[1].decode("latin-1").strip().lower().removesuffix("[]"), value))
    seen = _of_pairs(pairs)
    return seen if understood else replace(seen, understood=False, fields=None)
