"""Pure: the flat records that callers see, made from what Procore answers."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

__all__ = ["CUSTOM_FIELD", "Path", "Row", "flatten_tree", "is_answer", "project", "unwrap"]

Row = dict[str, object]

CUSTOM_FIELD: Final = re.compile(r"custom_field_\d{1,20}", re.ASCII)


class Path:
    """The way to a field: ``rfi_manager.id``, ``assignees.name``, ``questions.0.id``.

    Through a list it leads to the list of what lies behind; ``custom_field_7`` is short for
    ``custom_fields.custom_field_7.value``. A key that is the whole name comes first: the
    columns of a budget may have dots in their titles.
    """

    __slots__ = ("_parts", "name")

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self._parts: Final = tuple(name.split("."))

    @property
    def root(self) -> str:
        """The field of the record itself that the way starts at."""
        return self._parts[0]

    def of(self, row: Mapping[str, object]) -> object:
        """The value in *row*; ``None`` if there is none."""
        if self.name in row:
            return row[self.name]
        name = self._parts[0]
        if name not in row and CUSTOM_FIELD.fullmatch(name):
            return _follow(row, ("custom_fields", name, "value", *self._parts[1:]))
        return _follow(row, self._parts)

    def exists_in(self, row: Mapping[str, object]) -> bool | None:
        """Whether *row* has such a field, blank or not; ``None`` if it cannot tell."""
        if self.name in row:
            return True
        value: object = row
        for part in self._parts:
            if isinstance(value, list):
                value = next((item for item in value if isinstance(item, dict)), None)
            if value is None:
                return None
            if not isinstance(value, dict) or part not in value:
                return False
            value = value[part]
        return True


def _follow(value: object, parts: Sequence[str]) -> object:
    for position, part in enumerate(parts):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list):
            if part.isdigit():
                index = int(part)
                value = value[index] if index < len(value) else None
            else:
                found = (_follow(item, parts[position:]) for item in value)
                return [item for item in found if item is not None]
        else:
            return None
    return value


def project(row: Row, fields: Iterable[Path]) -> Row:
    """Keep *fields* only, under the names they were asked for; absent ones are null."""
    return {path.name: path.of(row) for path in fields}


def unwrap(body: object, rule: str) -> list[Row]:
    """Find the records in an answer.

    Args:
        rule: ``""`` for a list (or one record); a key that holds it, where Procore wraps it;
            ``groups:KEY`` for a list of groups that each hold some; ``tree:KEY`` for nested
            folders.
    """
    shape, _, key = rule.partition(":")
    if shape == "tree":
        return list(flatten_tree(body, key))
    if shape == "groups":
        return [row for group in _records(body) for row in _records(group.get(key))]
    if isinstance(body, dict) and shape in body:
        return _records(body[shape])
    return _records(body)


def is_answer(body: object, rule: str, is_record: Callable[[Row], bool]) -> bool:
    """Whether an answer to a read has the shape that *rule* says, so that nothing in it is lost.

    Nothing at all is an answer: it has no records.

    Args:
        is_record: Whether an object that stands by itself can be one of the records.
    """
    shape, _, key = rule.partition(":")
    if not body and not isinstance(body, (str, int, float)):
        return True
    if shape == "tree":
        return isinstance(body, dict) and not {"id", "folders", "files"}.isdisjoint(body)
    if shape == "groups":
        groups = body if isinstance(body, list) else [body]
        return all(
            isinstance(group, dict) and key in group and _are_records(group[key])
            for group in groups
        )
    inner = body[shape] if isinstance(body, dict) and shape in body else body
    return _are_records(inner) or (isinstance(inner, dict) and is_record(inner))


def _are_records(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, dict) for item in value)
    return value is None or value == {}


def _records(value: object) -> list[Row]:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    return [value] if isinstance(value, dict) and value else []


def flatten_tree(root: object, kind: str) -> Iterator[Row]:
    """List the ``folders`` or ``files`` of a folder tree, parents before children."""
    if not isinstance(root, dict):
        return
    # A loop, not recursion: how deep folders nest is up to whoever made them.
    waiting: list[tuple[Row, object]] = [(root, None)]
    while waiting:
        folder, parent_id = waiting.pop()
        if kind == "folders" and "id" in folder:
            own: Row = {"parent_id": parent_id}
            own.update((k, v) for k, v in folder.items() if k not in {"folders", "files"})
            yield own
        if kind == "files":
            for file in _records(folder.get("files")):
                yield {"parent_id": folder.get("id"), **file}
        waiting.extend(
            (child, folder.get("id")) for child in reversed(_records(folder.get("folders")))
        )
