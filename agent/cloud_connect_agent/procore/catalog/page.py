"""Writes ``docs/resources.md`` from the catalogue, to standard output.

``python -m cloud_connect_agent.procore.catalog.page > docs/resources.md``
"""

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from cloud_connect_agent.procore.catalog.describing import (
    LETTERS,
    by_area,
    letters_of,
    scope_words,
    takes_files,
)
from cloud_connect_agent.procore.catalog.endpoint import FilterKind
from cloud_connect_agent.procore.catalog.loading import load_catalog
from cloud_connect_agent.procore.catalog.model import Resource

__all__ = ["resources_page"]

_HEAD: Final = """\
# Procore resources

What can be read and written, as the agent's catalogue has it. This page is made from the
catalogue itself; `cloud-connect catalog list` and `cloud-connect catalog show NAME` tell the same
on a PC, with every path and every field, and `--json` for programs.

- **Does**: L list, S show one, C create, U update, D delete; a dash is what Procore does not
  offer. Asking for it answers `unsupported_operation` and says what to do instead, as the notes do.
- **Where**: the ids that say where a record lives. They are ordinary fields of every record.
  Without a `project_id`, [queries.md](queries.md) says which projects are meant. The company is
  always the data source's own.
- **Needs**: what Procore asks for in a new record. Procore judges; a company's own rules may ask
  for more.
- **Filters at Procore**: conditions on these fields are sent along, so that less is read. Every
  other field can be used in conditions just as well: the agent applies all of them itself.
"""
_TABLE: Final = (
    "| Table | What | Does | Where | Needs | Filters at Procore | Notes |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)


def resources_page(catalog: Iterable[Resource]) -> str:
    """The whole page, area by area in the order of their titles."""
    parts = [_HEAD]
    for title, resources in by_area(catalog):
        rows = (_row(resource) for resource in resources)
        parts.append("\n".join((f"## {title}", "", *_TABLE, *rows, "")))
    return "\n".join(parts)


def _row(resource: Resource) -> str:
    cells = (
        f"`{resource.name}`",
        f"**{resource.text}**. {resource.desc}.",
        letters_of(resource),
        _code(resource.scope_fields) or scope_words(resource),
        _code(resource.needed_fields),
        _filters(resource),
        " ".join(_notes(resource)),
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _filters(resource: Resource) -> str:
    return _code(spec.field for spec in resource.list_.filters) if resource.list_ else ""


def _notes(resource: Resource) -> Iterator[str]:
    for why, verbs in groupby(resource.missing.items(), key=lambda missing: missing[1]):
        yield f"*No {', '.join(LETTERS[verb] for verb, _ in verbs)}*: {why}"
    if resource.list_ is not None:
        if resource.list_.view is not None:
            yield f"Read in the view `{resource.list_.view}`."
        for spec in resource.list_.filters:
            if spec.kind is FilterKind.DAY:
                yield f"Ask for one day, with a condition on `{spec.field}`."
            elif spec.kind is FilterKind.DAYS:
                yield f"Without a condition on `{spec.field}` all days are read."
    if takes_files(resource):
        yield "Takes files."
    if resource.sync is not None:
        yield f"Procore upserts up to {resource.sync.max_items:,} in one request."
    if resource.dynamic:
        yield "Has more fields: each configured column is one."


if __name__ == "__main__":
    sys.stdout.write(resources_page(load_catalog()))
