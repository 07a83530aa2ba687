"""Pure: descriptions of what there is to pick from, as far as the policy lets them be read."""

from collections.abc import Collection, Mapping, Sequence

__all__ = ["drift_within", "tree_within"]


def tree_within(
    items: Sequence[Mapping[str, object]], shown: Collection[str] | None
) -> list[Mapping[str, object]]:
    """The platform's tree with the tables *shown* only; ``None`` shows all."""
    if shown is None:
        return list(items)
    groups = [{**group, "nodes": _named(group.get("nodes"), shown, "name")} for group in items]
    return [group for group in groups if group["nodes"]]


def drift_within(
    document: Mapping[str, object], shown: Collection[str] | None
) -> Mapping[str, object]:
    """The drift of the tables *shown* only; ``None`` shows all."""
    if shown is None:
        return document
    return {**document, "items": _named(document.get("items"), shown, "resource")}


def _named(items: object, shown: Collection[str], key: str) -> list[object]:
    if not isinstance(items, list | tuple):
        return []
    return [item for item in items if isinstance(item, Mapping) and item.get(key) in shown]
