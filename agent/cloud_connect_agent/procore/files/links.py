"""Pure: where a record's files are, by the names of the fields that link to them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from cloud_connect.errors import InvalidRequestError, NotFoundError

__all__ = ["attachments_of", "link_at", "main_field", "name_at"]

# Of a record that is a file itself; the first that is there. Thumbnails are not the file, and
# what else is nested, such as who made the record, may have a link of its own.
_MAIN: Final = (
    "url",
    "pdf_url",
    "file_url",
    "download_url",
    "png_url",
    "photo_url",
    "logo_url",
    "logo.url",
    "fillable_pdf.url",
    "current_revision.pdf_url",
    "current_revision.png_url",
)
_LISTS: Final = ("file_versions", "attachments", "associated_attachments")
_NAMES: Final = ("filename", "file_name", "name", "title")
_MAX_DEPTH: Final = 20  # of a record; Procore's own nest four deep


def main_field(record: Mapping[str, object]) -> str:
    """Return the field that links to the file which a record stands for.

    Raises:
        NotFoundError: If it stands for none.
    """
    for name in _MAIN:
        if _is_link(_at(record, name)):
            return name
    for name in _LISTS:
        items = record.get(name)
        if isinstance(items, Sequence) and not isinstance(items, str):
            linked = [
                place
                for place, item in enumerate(items)
                if isinstance(item, Mapping) and _is_link(item.get("url"))
            ]
            if linked:
                newest = name == "file_versions"
                place = max(linked, key=lambda at: _version(items[at])) if newest else linked[0]
                return f"{name}.{place}.url"
    raise NotFoundError("The record has no file; “attachments” lists what hangs on it.")


def link_at(record: Mapping[str, object], field: str) -> str:
    """Return the link in a field, such as ``pdf_url`` or ``attachments.0.url``.

    Raises:
        InvalidRequestError: If fields of that name hold no links to files.
        NotFoundError: If the record has none there.
    """
    last = field.rpartition(".")[2]
    if last != "url" and not last.endswith("_url"):
        raise InvalidRequestError(
            f"“{field[:100]}” does not link to a file: its name would end in “url”."
        )
    value = _at(record, field)
    if not isinstance(value, str) or not _is_link(value):
        raise NotFoundError(f"The record has no file at “{field[:100]}”.")
    return value


def name_at(record: Mapping[str, object], field: str) -> str | None:
    """Return the name of the file that a field links to, if the record tells it."""
    outer = field.rpartition(".")[0]
    for place in (_at(record, outer) if outer else None, record):
        if isinstance(place, Mapping):
            for name in _NAMES:
                value = place.get(name)
                if isinstance(value, str) and value.strip():
                    return value.strip()
    return None


def attachments_of(record: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the files that hang on a record, each with the field that links to it."""
    return [{**item, "field": field} for field, item in _linked(record, "", 0)]


def _linked(node: object, place: str, depth: int) -> Iterator[tuple[str, Mapping[str, object]]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _linked(value, f"{place}.{name}" if place else str(name), depth + 1)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        listed = place.rpartition(".")[2] in _LISTS
        for number, item in enumerate(node):
            here = f"{place}.{number}"
            if listed and isinstance(item, Mapping) and _is_link(item.get("url")):
                yield f"{here}.url", item
            else:
                yield from _linked(item, here, depth + 1)


def _at(record: Mapping[str, object], field: str) -> object:
    node: object = record
    for part in field.split("."):
        if isinstance(node, Mapping):
            node = node.get(part)
        elif isinstance(node, Sequence) and not isinstance(node, str) and part.isascii():
            place = int(part) if part.isdecimal() and len(part) < 7 else len(node)
            node = node[place] if place < len(node) else None
        else:
            return None
    return node


def _is_link(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://"))


def _version(item: object) -> int:
    number = item.get("number") or item.get("id") if isinstance(item, Mapping) else None
    return number if isinstance(number, int) else 0
