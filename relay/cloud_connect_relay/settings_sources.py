"""Where settings come from: flags, then the environment, then TOML, then defaults."""

import tomllib
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from cloud_connect.errors import ConfigurationError
from cloud_connect_relay.paths import RelayPaths
from cloud_connect_relay.settings import RelaySettings

__all__ = ["ENVIRONMENT_PREFIX", "load_settings"]

ENVIRONMENT_PREFIX: Final = "CLOUD_CONNECT_RELAY_"

_DATA_DIR: Final = "DATA_DIR"  # the command line's own


def load_settings(
    paths: RelayPaths, *, environ: Mapping[str, str], flags: Mapping[str, Any]
) -> RelaySettings:
    """Return the settings of the relay whose files are at *paths*.

    Args:
        flags: By the settings' names; ``None`` is not given.

    Raises:
        ConfigurationError: Naming the setting that is wrong, never its value.
    """
    merged: dict[str, Any] = {}
    _merge(merged, _from_file(paths))
    _merge(merged, _from_environment(environ))
    _merge(merged, {name: value for name, value in flags.items() if value is not None})
    merged["data_dir"] = paths.data_dir
    try:
        return RelaySettings.model_validate(merged)
    except ValidationError as error:
        raise ConfigurationError(_sentence(error)) from error


def _from_file(paths: RelayPaths) -> dict[str, Any]:
    try:
        text = paths.settings_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The file {paths.settings_file} cannot be read.") from error
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"The file {paths.settings_file} is not valid TOML: {error}."
        ) from error
    if "data_dir" in found:
        raise ConfigurationError(
            f"The setting data_dir cannot stand in {paths.settings_file}; use --data-dir."
        )
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in environ.items():
        rest = name.removeprefix(ENVIRONMENT_PREFIX)
        if rest in {name, "", _DATA_DIR} or not value or rest.startswith("_"):
            continue  # CLOUD_CONNECT_RELAY__URL is the agent's setting relay.url
        *sections, setting = rest.lower().split("__")
        given: dict[str, Any] = {setting: _parsed(value) if value[0] == "[" else value}
        for section in reversed(sections):
            given = {section: given}
        _merge(found, given)
    return found


def _parsed(value: str) -> object:
    """Read a TOML array, for the settings that are lists."""
    try:
        return tomllib.loads(f"list = {value}")["list"]
    except tomllib.TOMLDecodeError:
        return value


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = dict(value) if isinstance(value, Mapping) else value


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    reason = str(first["msg"]).removeprefix("Value error, ")
    reason = f"{reason[:1].lower()}{reason[1:]}"
    if first["type"] == "extra_forbidden":
        variable = ENVIRONMENT_PREFIX + name.upper().replace(".", "__")
        return f"There is no setting '{name}'; look for it in relay.toml and in {variable}."
    return f"The setting {name} is wrong: {reason}." if name else f"Bad settings: {reason}."
