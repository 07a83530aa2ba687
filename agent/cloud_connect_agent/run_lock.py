"""One agent at a time on one set of folders."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

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
        ConfigurationError: If the folders cannot be made or written.
    """
    try:
        paths.create()
    except OSError as exc:
        raise ConfigurationError(
            f"The folder {exc.filename or paths.state_dir} cannot be made: {exc.strerror}."
        ) from exc
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(paths.run_lock_file, timeout=timeout))
        except FileInUseError as exc:
            raise AlreadyRunningError(
                f"An agent is already running on {paths.config_dir}; stop it first."
            ) from exc
        except OSError as exc:
            raise ConfigurationError(
                f"The folder {paths.state_dir} cannot be written: {exc.strerror}."
            ) from exc
        yield
