"""``cloud-connect catalog``: the tables of Procore that calls can use."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import click

from cloud_connect.terminal import fields, print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import note

if TYPE_CHECKING:
    from cloud_connect_agent.procore.catalog import Resource

__all__ = ["catalog"]

_MIN_WIDTH: Final = 80  # columns; narrower terminals wrap by themselves
_MAX_WIDTH: Final = 120
_GAP: Final = "  "
_MAX_NAME: Final = 30  # columns that a name leaves the words beside it; longer ones stand alone


@click.group()
@shared_options
def catalog() -> None:
    """Look up the tables of Procore that calls can use, and what Procore allows with each.

    It is the same on every PC and needs no enrolment. What this PC allows of it says
    `cloud-connect policy`.
    """


@catalog.command(
    "list",
    epilog="\b\nExamples:\n  cloud-connect catalog list\n  cloud-connect catalog list vendor",
)
@click.argument("word", required=False)
@shared_options
@pass_invocation
def list_tables(invocation: Invocation, *, word: str | None) -> None:
    """List the tables, or those that WORD is in the name or description of."""
    from cloud_connect_agent.procore.catalog import load_catalog
    from cloud_connect_agent.procore.catalog.describing import by_area, operations_of

    invocation.configure_logs()
    found = [resource for resource in load_catalog() if _mentions(resource, word)]
    if invocation.json:
        items = [
            {
                "name": resource.name,
                "text": resource.text,
                "desc": resource.desc,
                "area": resource.area,
                "level": resource.level.value,
                "scope": list(resource.scope_fields),
                "operations": [verb for verb, _ in operations_of(resource)],
            }
            for _, resources in by_area(found)
            for resource in resources
        ]
        print_json({"items": items})
    elif not found:
        note(f"No table has “{word}” in its name or description.")
    else:
        _print_list(found)
        note(
            "\nL list, S show one, C create, U update, D delete. All about one table:\n"
            "cloud-connect catalog show TABLE"
        )


@catalog.command(epilog="\b\nExample:\n  cloud-connect catalog show rfis")
@click.argument("table", metavar="TABLE")
@shared_options
@pass_invocation
def show(invocation: Invocation, *, table: str) -> None:
    """Show what Procore allows with TABLE, and its fields."""
    from cloud_connect.errors import InvalidRequestError
    from cloud_connect_agent.procore.catalog import load_catalog
    from cloud_connect_agent.procore.catalog.describing import document_of

    invocation.configure_logs()
    try:
        resource = load_catalog().resource(table)
    except InvalidRequestError as error:
        raise click.UsageError(error.message) from error
    if invocation.json:
        print_json(document_of(resource))
    else:
        _print_table(resource)


def _mentions(resource: "Resource", word: str | None) -> bool:
    text = f"{resource.name} {resource.text} {resource.desc} {resource.area}"
    return word is None or word.casefold() in text.casefold()


def _width() -> int:
    return min(max(shutil.get_terminal_size().columns, _MIN_WIDTH), _MAX_WIDTH)


def _print_list(resources: "Sequence[Resource]") -> None:
    from cloud_connect_agent.procore.catalog.describing import by_area, letters_of, scope_words

    longest = max(len(resource.name) for resource in resources)
    for number, (title, found) in enumerate(by_area(resources)):
        if number:
            click.echo()
        click.echo(click.style(title, bold=True))
        for one in found:
            head = f"  {one.name.ljust(longest)}{_GAP}{letters_of(one)}{_GAP}"
            where = "" if scope_words(one) == "project_id" else f" ({scope_words(one)})"
            _wrapped(head, f"{one.text}{where}")


def _print_table(resource: "Resource") -> None:
    from cloud_connect_agent.procore.catalog.describing import (
        area_title,
        filter_words,
        scope_words,
        sort_words,
        takes_files,
    )

    click.echo(f"{click.style(resource.name, bold=True)}{_GAP}{resource.text}")
    _wrapped("", resource.desc)
    click.echo()
    sync = resource.sync
    fields(
        (
            ("Area", area_title(resource.area)),
            ("Lives in", scope_words(resource)),
            ("Ids", "text" if resource.id_type.value == "string" else "whole numbers"),
            (
                "Bulk upsert",
                f"{sync.method} {sync.template}, {sync.max_items:,} at once" if sync else None,
            ),
            ("Files", "can be hung on the records" if takes_files(resource) else None),
            ("More fields", "a field for each configured column" if resource.dynamic else None),
        )
    )
    _section("Operations", _operations(resource))
    list_, sorts = resource.list_, sort_words(resource)
    rows = [(spec.field, filter_words(spec)) for spec in list_.filters] if list_ else []
    rows += [("sorted by", sorts)] if sorts else []
    if rows:
        _section("What Procore filters and sorts by itself; the agent does the rest", rows)
    _section("Fields", _fields(resource))


def _operations(resource: "Resource") -> Iterator[tuple[str, str]]:
    from cloud_connect_agent.procore.catalog.describing import (
        VERBS,
        body_of,
        paging_of,
        request_of,
    )

    for verb, operation in VERBS.items():
        endpoint = resource.endpoint(operation)
        if endpoint is None:
            yield verb, f"- {resource.missing_reason(operation)}"
            continue
        yield verb, request_of(resource, verb, endpoint)
        if verb == "list":
            yield "", paging_of(endpoint)
            others = [view for view in endpoint.views if view != endpoint.view]
            if others:
                yield "", f"views that are not used: {', '.join(others)}"
        elif verb in {"create", "update"}:
            yield "", f"body: {body_of(endpoint)}"
        if endpoint.idempotent:
            yield "", "a repeat with the same Idempotency-Token is carried out once"
        if endpoint.required:
            yield "", f"needs: {', '.join(endpoint.required)}"
        if endpoint.success:
            yield "", f"answers {', '.join(map(str, endpoint.success))}"


def _fields(resource: "Resource") -> Iterator[tuple[str, str]]:
    ways = {"in": "send", "out": "receive", "both": "both"}
    asides = dict.fromkeys(resource.needed_fields, " (needed)")
    asides |= dict.fromkeys(resource.scope_fields, " (where it lives)")
    rows = []
    for spec in (*resource.scope_specs, *resource.fields):
        kind = f"{spec.type.value}/{spec.sent.value}" if spec.sent else spec.type.value
        label = f"{spec.label}{asides.get(spec.name, '')}"
        rows.append((spec.name, kind, ways[spec.direction.value], label))
    widest = max(len(kind) for _, kind, _, _ in rows)
    longest = max(len(way) for way in ways.values())
    for name, kind, way, label in rows:
        yield name, f"{kind.ljust(widest)}{_GAP}{way.ljust(longest)}{_GAP}{label}"


def _section(title: str, rows: "Sequence[tuple[str, str]] | Iterator[tuple[str, str]]") -> None:
    """Print rows in two columns below a title, the second one wrapped."""
    shown = list(rows)
    longest = min(max((len(name) for name, _ in shown), default=0), _MAX_NAME)
    click.echo(f"\n{click.style(title, bold=True)}")
    for name, words in shown:
        if len(name) > longest:
            click.echo(f"  {name}")
        _wrapped(f"  {(name if len(name) <= longest else '').ljust(longest)}{_GAP}", words)


def _wrapped(head: str, words: str) -> None:
    click.echo(
        textwrap.fill(
            words,
            width=_width(),
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,  # a path is copied whole
            break_on_hyphens=False,
        )
    )
