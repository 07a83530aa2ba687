"""What is wrong with settings: which one, where it was set, and what may have been meant."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from pydantic import BaseModel, ValidationError

from cloud_connect_agent.settings_sources import Origin, SettingsSources, variable_of

__all__ = ["SettingsFault", "faults_of"]

_ALIKE: Final = 0.6  # of the characters: less is a guess


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsFault:
    """One thing that is wrong.

    Attributes:
        setting: Its name with dots; empty for a file as a whole.
        meant: The name that was meant, if one is close.
    """

    setting: str
    origin: Origin
    problem: str
    meant: str | None = None

    @property
    def sentence(self) -> str:
        """What is wrong and what to do, for people."""
        origin = self.origin
        if origin.kind == "environment":
            place = str(origin.place)
        else:
            line = "" if origin.line is None else f" (line {origin.line})"
            place = f"{self.setting} in {origin.place}{line}" if origin.place else self.setting
        if self.problem:
            return f"The setting {place} is wrong: {self.problem}."
        meant = f"did you mean “{self.meant}”?" if self.meant else "remove it."
        return f"There is no setting {place}; {meant}"


def faults_of(
    error: ValidationError, sources: SettingsSources, model: type[BaseModel]
) -> list[SettingsFault]:
    """Return all that is wrong, unknown names first: they often explain the rest."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    found.sort(key=lambda one: one["type"] != "extra_forbidden")
    faults: dict[tuple[str, ...], SettingsFault] = {}
    for one in found:
        path = _path_of(one["loc"])
        if path in faults:
            continue  # each of a union's members complains of the same value
        origin = _origin_of(path, sources)
        unknown = one["type"] == "extra_forbidden"
        meant = _meant(path, model) if unknown else None
        if meant is not None and origin.kind == "environment":
            meant = variable_of([*path[:-1], meant])
        faults[path] = SettingsFault(
            setting=".".join(path),
            origin=origin,
            problem="" if unknown else one["msg"].removeprefix("Value error, "),
            meant=meant,
        )
    return list(faults.values())


def _path_of(loc: Iterable[str | int]) -> tuple[str, ...]:
    return tuple(str(part) for part in loc if part != "[key]")


def _origin_of(path: Sequence[str], sources: SettingsSources) -> Origin:
    """Say who set what is wrong; an item of a list has its list's origin."""
    for length in range(len(path), 0, -1):
        origin = sources.origin(path[:length])
        if origin.kind != "default":
            return origin
    return Origin(kind="file", place=sources.file.name)


def _meant(path: Sequence[str], model: type[BaseModel]) -> str | None:
    names = _names_at(path[:-1], model)
    near = difflib.get_close_matches(path[-1], names, n=1, cutoff=_ALIKE)
    if near:
        return near[0]
    # A setting of another section that is spelled right was put in the wrong place.
    elsewhere = [".".join(found) for found in _all_names(model) if found[-1] == path[-1]]
    return elsewhere[0] if len(elsewhere) == 1 else None


def _names_at(path: Sequence[str], model: type[BaseModel]) -> list[str]:
    """Return the names that a section may hold."""
    section: type[BaseModel] | None = model
    is_named = False  # whether the next part is a name that people give, such as an account's
    for part in path:
        if is_named:
            is_named = False
            continue
        if section is None or part not in section.model_fields:
            return []
        annotation = section.model_fields[part].annotation
        section = _section_in(annotation)
        is_named = section is not None and section is not annotation
    return [] if section is None or is_named else list(section.model_fields)


def _all_names(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in model.model_fields:
        path = (*above, name)
        annotation = model.model_fields[name].annotation
        if _section_in(annotation) is None:
            yield path
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _all_names(annotation, path)


def _section_in(annotation: object) -> type[BaseModel] | None:
    """Return the section that a setting is, or that each of its entries is."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    parts = get_args(annotation)
    return _section_in(parts[-1]) if parts else None
