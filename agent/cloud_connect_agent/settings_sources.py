"""Where settings come from: the file, the environment, flags; and which of them said what."""

import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.toml_lines import line_of

__all__ = ["Origin", "SettingsSources", "variable_of"]

_PREFIX: Final = "CLOUD_CONNECT_"
_RELAY_PREFIX: Final = "CLOUD_CONNECT_RELAY_"  # the relay's own; ours has two underscores
_CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"  # systemd's name

Kind: TypeAlias = Literal["flag", "environment", "file", "default"]
Tree: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who said the value of one setting.

    Attributes:
        place: The file's or the variable's name; ``None`` for flags and defaults.
        line: In the file, counted from 1, if it can be told.
    """

    kind: Kind
    place: str | None = None
    line: int | None = None

    @property
    def words(self) -> str:
        """The origin in words for people."""
        if self.place is None:
            return self.kind
        return self.place if self.line is None else f"{self.place}, line {self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsSources:
    """What file, environment and flags say, each for itself.

    Attributes:
        text: The file's, from which lines are told.
        credentials: Whether systemd's own variable names the folder of the credentials.
    """

    file: Path
    text: str = ""
    from_file: Tree = field(default_factory=dict)
    from_environment: Tree = field(default_factory=dict)
    from_flags: Tree = field(default_factory=dict)
    credentials: bool = False

    @classmethod
    def read(
        cls,
        file: Path,
        *,
        environ: Mapping[str, str],
        flags: Mapping[str, Any],
        sections: Collection[str],
    ) -> Self:
        """Read them all; whether they make sense is judged elsewhere.

        Args:
            sections: The names that settings begin with; other variables are not settings.

        Raises:
            ConfigurationError: If the file cannot be used, or variables contradict each other.
        """
        text = _read_text(file)
        variables = _read_environ(environ, sections)
        handed_over = environ.get(_CREDENTIALS_VARIABLE)
        if handed_over:
            _overlay(variables, {"vault": {"credentials_dir": handed_over}})
        return cls(
            file=file,
            text=text,
            from_file=_parse(file, text),
            from_environment=variables,
            from_flags=dict(flags),
            credentials=bool(handed_over),
        )

    def merged(self) -> Tree:
        """Return what holds: flags before the environment before the file."""
        tree: Tree = {}
        for one in (self.from_file, self.from_environment, self.from_flags):
            _overlay(tree, one)
        return tree

    def origin(self, path: Sequence[str]) -> Origin:
        """Say who set the setting at *path*; the default if nobody did."""
        if _holds(self.from_flags, path):
            return Origin(kind="flag")
        if _holds(self.from_environment, path):
            handed_over = self.credentials and tuple(path) == ("vault", "credentials_dir")
            place = _CREDENTIALS_VARIABLE if handed_over else variable_of(path)
            return Origin(kind="environment", place=place)
        if _holds(self.from_file, path):
            return Origin(kind="file", place=self.file.name, line=line_of(self.text, path))
        return Origin(kind="default")


def variable_of(path: Sequence[str]) -> str:
    """Return the environment variable that sets the setting at *path*."""
    return _PREFIX + "__".join(part.replace("-", "_").upper() for part in path)


def _read_text(file: Path) -> str:
    try:
        if os.name == "posix" and file.stat().st_mode & 0o022:
            raise ConfigurationError(
                f"{file.name} can be changed by other accounts; "
                f"run `chmod go-w {file.name}` after checking its content."
            )
        return file.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except PermissionError as exc:
        raise ConfigurationError(
            f"{file} cannot be read: {exc.strerror}; run the command as the account that runs the "
            "agent, or as an administrator."
        ) from exc
    except OSError as exc:
        raise ConfigurationError(f"{file} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{file.name} is not valid TOML: {exc}.") from exc


def _parse(file: Path, text: str) -> Tree:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        said = str(exc) if isinstance(exc, tomllib.TOMLDecodeError) else "it is nested too deeply"
        raise ConfigurationError(f"{file.name} is not valid TOML: {said}.") from exc


def _read_environ(environ: Mapping[str, str], sections: Collection[str]) -> Tree:
    """Return the variables as a tree; ``__`` goes one level down."""
    tree: Tree = {}
    for name, value in environ.items():
        if not name.startswith(_PREFIX):
            continue
        if name.startswith(_RELAY_PREFIX) and not name.startswith(f"{_RELAY_PREFIX}_"):
            continue
        path = name.removeprefix(_PREFIX).lower().split("__")
        if len(path) == 1 and path[0] not in sections:
            continue  # CLOUD_CONNECT_HOME and the like
        if path[:2] == ["procore", "environments"] and len(path) > 2:
            path[2] = path[2].replace("_", "-")
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ConfigurationError(f"The variable {name} contradicts another one.")
        node[path[-1]] = value
    return tree


def _overlay(tree: Tree, over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        below = tree.get(key)
        if isinstance(value, Mapping) and isinstance(below, dict):
            _overlay(below, value)
        elif isinstance(value, Mapping):
            fresh: Tree = {}
            _overlay(fresh, value)
            tree[key] = fresh
        else:
            tree[key] = value


def _holds(tree: Mapping[str, Any], path: Sequence[str]) -> bool:
    node: Any = tree
    for part in path:
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True
