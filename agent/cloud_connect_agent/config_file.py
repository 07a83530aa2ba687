"""Changes ``agent.toml``: one writer at a time, durable, comments kept."""

from collections.abc import Mapping

from cloud_connect.errors import ConfigurationError
from cloud_connect.file_lock import FileInUseError, file_lock
from cloud_connect_agent.durable import write_durably
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import load_settings
from cloud_connect_agent.toml_text import Value, change_toml

__all__ = ["change_settings"]

_LOCK_SECONDS = 10.0


def change_settings(paths: AgentPaths, changes: Mapping[tuple[str, ...], Value]) -> None:
    """Set the settings at the given paths in ``agent.toml``, or remove them where ``None``.

    Raises:
        ConfigurationError: If a value is wrong; the file is as it was then.
    """
    paths.create()
    file = paths.config_file.resolve()  # a link to a managed file stays a link
    try:
        with file_lock(paths.state_dir / "config.lock", timeout=_LOCK_SECONDS):
            before = file.read_text("utf-8") if file.exists() else ""
            after = change_toml(before, changes)
            _check(paths, after)
            if after != before:
                write_durably(file, after.encode())
    except FileInUseError as exc:
        raise ConfigurationError("Another command is changing agent.toml; try again.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"{file} cannot be changed: {reason}.") from exc


def _check(paths: AgentPaths, text: str) -> None:
    draft = paths.state_dir / "agent.toml"
    write_durably(draft, text.encode())
    try:
        load_settings(draft)
    finally:
        draft.unlink()
