"""Settings one by one: by name, without secrets; which two trees differ in; which change live."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, TypeAlias

from pydantic import BaseModel, SecretStr

from cloud_connect.redact import MASK

__all__ = ["Plain", "SettingPath", "changes_live", "differing", "settings_in"]

SettingPath: TypeAlias = tuple[str, ...]
Plain: TypeAlias = str | int | float | bool | list["Plain"] | None

# What a running agent takes at once: sections that it reads anew, or is told of.
_LIVE: Final = frozenset({"log", "procore", "proxy"})
_NOT_LIVE: Final = frozenset({("procore", "upserts")})  # the catalogue is made with them


def settings_in(model: BaseModel) -> Iterator[tuple[SettingPath, Plain]]:
    """Yield each setting's name and value; a secret that is set is masked."""
    for one in _settings(model):
        yield one.path, _plain(one.value)


def differing(before: BaseModel, after: BaseModel) -> list[SettingPath]:
    """Return the settings that are not alike, secrets included.

    Of a section that only one of them has, such as an environment's, that is what is not the
    default.
    """
    old, new = ({one.path: one for one in _settings(side)} for side in (before, after))
    either = old | new
    return [
        path
        for path, known in either.items()
        if (old[path].value if path in old else known.default)
        != (new[path].value if path in new else known.default)
    ]


def changes_live(path: SettingPath) -> bool:
    """Whether a running agent takes another value without a restart."""
    return path[0] in _LIVE and path not in _NOT_LIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    path: SettingPath
    value: object
    default: object


def _settings(value: object, path: SettingPath = (), default: object = None) -> Iterator[_Setting]:
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            usual = field.get_default(call_default_factory=True)
            yield from _settings(getattr(value, name), (*path, name), usual)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _settings(one, (*path, str(name)))
    else:
        yield _Setting(path=path, value=value, default=default)


def _plain(value: object) -> Plain:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
