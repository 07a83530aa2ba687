"""One agent at a time on one set of folders."""

from collections.abc import Iterator
from contextlib import contextmanager

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.file_lock import FileInUseError, file_lock
from cloud_connect_agent.paths import AgentPaths

__all__ = ["AlreadyRunningError", "run_lock"]


class AlreadyRunningError(CloudConnectError):
    """An agent runs on these folders."""


@contextmanager
def run_lock(paths: AgentPaths, *, timeout: float = 0.0) -> Iterator[None]:
    """Keep every other agent off these folders meanwhile.

    Raises:
        AlreadyRunningError: If one is there.
    """
    try:
        paths.create()
    except OSError as exc:
        raise ConfigurationError(
            f"The folder {exc.filename or paths.state_dir} cannot be made: {exc.strerror}."
        ) from exc
    try:
        with file_lock(paths.run_lock_file, timeout=timeout):
            yield
    except FileInUseError as exc:
        raise AlreadyRunningError(
            f"An agent is already running on {paths.config_dir}; stop it first."
        ) from exc
