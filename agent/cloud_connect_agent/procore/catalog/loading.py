"""Reads the catalogue's tables from the package."""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Final

from cloud_connect.calls import Operation
from cloud_connect.errors import ConfigurationError, InvalidRequestError
from cloud_connect_agent.procore.catalog.endpoint import Endpoint
from cloud_connect_agent.procore.catalog.model import Resource

__all__ = ["Catalog", "load_catalog"]


class Catalog:
    """All resources, by name."""

    def __init__(self, tables: Mapping[str, Resource]) -> None:
        self._tables: Final = dict(tables)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._tables.values())

    def resource(self, name: str) -> Resource:
        """Find a resource.

        Raises:
            InvalidRequestError: If there is none of that name; the message names it.
        """
        found = self._tables.get(name)
        if found is None:
            near = difflib.get_close_matches(name.lower().replace(" ", "_"), self._tables, n=1)
            hint = f" Did you mean “{near[0]}”?" if near else ""
            raise InvalidRequestError(f"There is no table “{name[:64]}” in Procore.{hint}")
        return found

    def with_upserts(self, names: Iterable[str]) -> "Catalog":
        """Return a catalogue in which single creates of these resources are upserts, too.

        Raises:
            ConfigurationError: If there is no such resource, or Procore has no sync for it.
        """
        tables = dict(self._tables)
        for name in names:
            resource = tables.get(name)
            if resource is None or resource.sync is None:
                able = ", ".join(sorted(one.name for one in self if one.sync is not None))
                raise ConfigurationError(
                    f"The setting procore.upserts names '{name}', which Procore cannot upsert; it"
                    f" can: {able}."
                )
            sync = resource.sync.model_copy(update={"safe_for_create": True})
            tables[name] = resource.model_copy(update={"sync": sync})
        return Catalog(tables)

    @property
    def upserts(self) -> tuple[str, ...]:
        """The resources whose keyed creates are upserts."""
        return tuple(one.name for one in self if one.sync is not None and one.sync.safe_for_create)

    def endpoint(self, resource: Resource, operation: Operation) -> Endpoint:
        """How an operation of *resource* is done.

        Raises:
            UnsupportedOperationError: If Procore has none; the message says what it has.
        """
        return resource.needed(operation)


@cache
def load_catalog() -> Catalog:
    """Read the tables that the package brings, in the order of their files and places.

    A file holds one area, which its name says.
    """
    tables: dict[str, Resource] = {}
    folder = resources.files(__package__)
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            for name, table in tomllib.loads(file.read_text(encoding="utf-8")).items():
                if name in tables:
                    raise ValueError(f"{file.name}: the table {name} is there twice")
                area = file.name.removesuffix(".toml")
                tables[name] = Resource.model_validate({"name": name, "area": area, **table})
    return Catalog(tables)
