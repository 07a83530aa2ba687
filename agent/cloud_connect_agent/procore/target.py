"""The target of a raw call: what is refused, and what the rest says about company and project."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from urllib.parse import unquote_plus, unquote_to_bytes

from cloud_connect.errors import InvalidRequestError, PolicyDeniedError

__all__ = ["Pairs", "Target", "check_company", "dotted", "named", "parse_target", "split_pairs"]

_PREFIX: Final = re.compile(r"rest/v[0-9]{1,3}(\.[0-9]{1,3})?/")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
# What needs no second look: no escapes, and no segment that begins with a dot.
_ORDINARY: Final = re.compile(
    r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?"
)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Characters that some server between here and Procore's code may read as structure.
_STRUCTURE: Final = frozenset(b"/\\.;@#?%:")
_WORD: Final = re.compile(r"[A-Za-z_]{1,100}")
_MAX_BYTES: Final = 8192
_MAX_PAIRS: Final = 4096  # what Rack takes, too
_BRACKETS: Final = re.compile(r"[\[\]]")
_SEPARATORS: Final = re.compile(r"[&;]")  # old Rack versions split on both


Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target that passed.

    Attributes:
        raw: What goes to Procore, byte for byte, from ``/rest/`` on.
        path: For the policy, from ``rest/`` on, nothing encoded in it.
        companies: Ids that path and query name, as written.
        projects: Likewise.
        nested: Projects that the query names within something else.
        in_project: Whether it is the path that names a project.
        in_company: Whether it is the path that names the company.
        fields: What the query would set, since Procore reads it along with the body.
    """

    raw: str
    path: str
    companies: frozenset[str]
    projects: frozenset[str]
    nested: frozenset[str]
    in_project: bool
    in_company: bool
    fields: frozenset[str]


def parse_target(text: str) -> Target:
    """Check a raw target.

    Raises:
        InvalidRequestError: If it could mean another path to somebody than it does to us.
    """
    if len(text) > _MAX_BYTES:
        raise InvalidRequestError(f"The path and query are over {_MAX_BYTES} bytes.")
    if not _VISIBLE.fullmatch(text) or "#" in text:
        raise InvalidRequestError("The path may hold visible ASCII characters only, and no '#'.")
    path, _, query = text.partition("?")
    if not _PREFIX.match(path):
        raise InvalidRequestError("The path must begin with rest/ and a version, as rest/v1.0/.")
    if "%" in text and _BAD_ESCAPE.search(text):
        raise InvalidRequestError("The path or query has a '%' without two hex digits.")
    segments = path.removesuffix("/").split("/")
    if len(segments) < 3:
        raise InvalidRequestError("The path names nothing behind the version.")
    ordinary = _ORDINARY.fullmatch(path) is not None
    plain = segments if ordinary else [_plain_segment(segment) for segment in segments]
    companies, projects = _ids_of_path(plain)
    in_project, in_company = bool(projects), bool(companies)
    pairs = split_pairs(query)
    nested = _ids_of_query(pairs, companies, projects)
    return Target(
        raw=f"/{text}",
        path="/".join(plain),
        companies=frozenset(companies),
        projects=frozenset(projects),
        nested=nested,
        in_project=in_project,
        in_company=in_company,
        fields=frozenset(dotted(name) for name, _ in pairs if name),
    )


def check_company(named: frozenset[str], company_id: int) -> None:
    """Refuse a call that names another company than its data source is bound to.

    Raises:
        PolicyDeniedError: If it does.
    """
    if named - {str(company_id)}:
        raise PolicyDeniedError(
            f"The call names another company than {company_id}, which its data source is bound "
            "to (rule company-binding)."
        )


def _ids_of_query(pairs: Pairs, companies: set[str], projects: set[str]) -> frozenset[str]:
    """Add what a query names to *companies* and *projects*; return the projects deeper in it."""
    nested: set[str] = set()
    for name, value in pairs:
        above, _, last = dotted(name).rpartition(".")
        if named(name) == "_method":
            raise InvalidRequestError("The query parameter _method is not passed on.")
        if named(name) == "company_id" or (above and last == "company_id"):
            companies.add(value)
        elif named(name) == "project_id":
            projects.add(value)
        elif above and last == "project_id":
            nested.add(value)
    return frozenset(nested)


def named(name: str) -> str:
    """The parameter that *name* sets, or a part of it: ``company_id[0]`` sets ``company_id``."""
    return next(_parts(name), "")


def dotted(name: str) -> str:
    """The name of a form's field with dots: ``rfi[question][body]`` is ``rfi.question.body``."""
    return ".".join(_parts(name))


def _parts(name: str) -> Iterator[str]:
    """What stands between brackets, however they do: old Rack reads ``[a`` and ``a]`` as ``a``."""
    return filter(None, _BRACKETS.split(name))


def _plain_segment(segment: str) -> str:
    if not segment:
        raise InvalidRequestError("The path has an empty segment ('//').")
    if segment in {".", ".."} or any(character in segment for character in "\\;@"):
        raise InvalidRequestError("The path has a segment that is not a plain name.")
    if "%" not in segment:
        return segment
    plain = unquote_to_bytes(segment)
    # Every escaped byte must be harmless; those that stand there unescaped are.
    escaped = bytes.fromhex("".join(re.findall(r"%([0-9A-Fa-f]{2})", segment)))
    if any(byte in _STRUCTURE or not 0x20 <= byte <= 0x7E for byte in escaped):
        raise InvalidRequestError("The path has an escaped character that is not a plain one.")
    return plain.decode("ascii")


def _ids_of_path(segments: list[str]) -> tuple[set[str], set[str]]:
    companies: set[str] = set()
    projects: set[str] = set()
    for name, following in pairwise(segments):
        if _WORD.fullmatch(following):
            continue  # an action, such as sync
        if name.lower() == "companies":
            companies.add(following)
        elif name.lower() == "projects":
            projects.add(following)
    return companies, projects


def split_pairs(query: str) -> Pairs:
    """Return the names, in lower case without ``[]``, and values of a query or form.

    Raises:
        InvalidRequestError: If there are more than a server takes.
    """
    items = _SEPARATORS.split(query, _MAX_PAIRS)
    if len(items) > _MAX_PAIRS:
        raise InvalidRequestError(f"The query or form has over {_MAX_PAIRS} parameters.")
    escaped = "%" in query or "+" in query
    pairs = []
    for item in items:
        name, _, value = item.partition("=")
        if escaped:
            name, value = unquote_plus(name), unquote_plus(value)
        pairs.append((name.strip().lower().removesuffix("[]"), value))
    return pairs
