"""Settings of a running agent: what a reload changes at once, and what waits for a restart."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from cloud_connect_agent.proxies import Proxies
from cloud_connect_agent.settings import AgentSettings, LogSettings, ProcoreSettings
from cloud_connect_agent.settings_listing import Plain, changes_live, differing, settings_in

__all__ = ["Reloaded", "Reloader"]

log = structlog.get_logger(__name__)


class _Procore(Protocol):
    settings: ProcoreSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What a reload did.

    Attributes:
        applied: Settings that hold from here on, by name.
        restart: Settings whose value in the file waits for a restart.
    """

    applied: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


class Reloader:
    """Reads the settings again, and gives the parts of the agent what they may take.

    All is judged before anything changes: a file that is wrong changes nothing.

    Args:
        load: Reads the settings.
        started_with: What the process was started with.
        log_as: Has the log be written otherwise.
    """

    def __init__(
        self,
        load: Callable[[], AgentSettings],
        started_with: AgentSettings,
        *,
        procore: _Procore,
        proxies: Proxies,
        log_as: Callable[[LogSettings], None],
    ) -> None:
        self._load: Final = load
        self._started_with: Final = started_with
        self._current = started_with
        self._procore: Final = procore
        self._proxies: Final = proxies
        self._log_as: Final = log_as

    def in_use(self) -> dict[str, Plain]:
        """Return the values that the agent goes by, whatever the file says by now."""
        started, current = dict(settings_in(self._started_with)), dict(settings_in(self._current))
        kept = {path: value for path, value in started.items() if not changes_live(path)}
        taken = {path: value for path, value in current.items() if changes_live(path)}
        return {".".join(path): value for path, value in (kept | taken).items()}

    def reload(self) -> Reloaded:
        """Take what may change at once.

        Raises:
            ConfigurationError: If something is wrong; all is as it was then.
        """
        fresh = self._load()
        changed = [path for path in differing(self._current, fresh) if changes_live(path)]
        waiting = [path for path in differing(self._started_with, fresh) if not changes_live(path)]
        self._proxies.follow(fresh.proxy)  # may refuse, so it comes first
        self._procore.settings = fresh.procore
        if fresh.log != self._current.log:
            self._log_as(fresh.log)
        self._current = fresh
        done = Reloaded(
            applied=tuple(".".join(path) for path in changed),
            restart=tuple(".".join(path) for path in waiting),
        )
        log.info("reloaded", applied=done.applied)
        if done.restart:  # who told systemd to reload sees the journal only
            log.warning("settings_wait_for_restart", settings=done.restart)
        return done
