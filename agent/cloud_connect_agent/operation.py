"""What the command line asks of a running agent and tells it, and what the agent reports."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog

from cloud_connect.calls import ReportedGrant
from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect_agent.control import Answer
from cloud_connect_agent.durations import lasting
from cloud_connect_agent.health import SKEW_SECONDS, Health, HealthSnapshot
from cloud_connect_agent.live_calls import LiveCalls
from cloud_connect_agent.proxies import Proxies
from cloud_connect_agent.reloading import Reloaded, Reloader
from cloud_connect_agent.reports import ReportBoard
from cloud_connect_agent.settings import (
    AgentSettings,
    EnvironmentSettings,
    LogSettings,
    ProcoreSettings,
)
from cloud_connect_agent.steadiness import SteadyGrants
from cloud_connect_agent.stopping import StopSignal
from cloud_connect_agent.version import VERSION

__all__ = ["CurrentProcore", "Operator"]

log = structlog.get_logger(__name__)

_WATCH_SECONDS: Final = 2.0  # a change of policy or grants is reported within that
_JOURNAL_SECONDS: Final = 0.5  # for a count; a disk that hangs must not hide the rest
_READ_ALONG: Final = (
    "A proxy between this PC and the relay reads the traffic, as relay.allow_intercepted permits."
)
_MAX_PAUSE_SECONDS: Final = 30 * 86400


class CurrentProcore:
    """The section ``procore`` of the settings, as it is at the moment."""

    def __init__(self, settings: ProcoreSettings) -> None:
        self.settings = settings

    @property
    def environments(self) -> Mapping[str, EnvironmentSettings]:
        """Other addresses, by the environment's flag."""
        return self.settings.environments

    @property
    def remote_authorize(self) -> bool:
        """Whether a person may sign this PC in through the relay."""
        return self.settings.remote_authorize

    @property
    def read_concurrency(self) -> int:
        """Reads at once."""
        return self.settings.read_concurrency

    @property
    def write_concurrency(self) -> int:
        """Writes at once."""
        return self.settings.write_concurrency

    @property
    def max_spool_bytes(self) -> int:
        """Of the files that have to be on disk before they can be uploaded."""
        return self.settings.max_spool_bytes

    @property
    def tree_cache_seconds(self) -> float:
        """For how long what a company defines is used again."""
        return self.settings.tree_cache_seconds

    @property
    def probe_seconds(self) -> float:
        """After how long without a good answer Procore is asked."""
        return self.settings.probe_seconds


class _Client(Protocol):
    async def grants(self) -> list[ReportedGrant]: ...
    def reload(self) -> None: ...


class _Policy(Protocol):
    def reload(self) -> None: ...
    def summary(self) -> dict[str, object]: ...
    def told(self) -> dict[str, object]: ...


class _Approvals(Protocol):
    @property
    def problem(self) -> str | None: ...
    @property
    def waiting(self) -> int: ...
    def reload(self) -> None: ...


class _Journal(Protocol):
    @property
    def problem(self) -> str | None: ...
    @property
    def damaged(self) -> bool: ...
    async def untold(self) -> int: ...


class _Audit(Protocol):
    @property
    def problems(self) -> tuple[str, ...]: ...


class _Rotation(Protocol):
    @property
    def key_id(self) -> str: ...
    async def rotate(self) -> str: ...


class Operator:
    """Answers the control socket, and keeps the report to the relay true."""

    def __init__(
        self,
        *,
        load: Callable[[], AgentSettings],
        settings: AgentSettings,
        procore: CurrentProcore,
        client: _Client,
        proxies: Proxies | None = None,
        policy: _Policy,
        approvals: _Approvals | None = None,
        journal: _Journal,
        audit: _Audit | None = None,
        health: Health,
        board: ReportBoard,
        stop: StopSignal,
        rotation: _Rotation | None = None,
        live: LiveCalls | None = None,
        log_as: Callable[[LogSettings], None] = lambda _: None,
        list_settings: Callable[[], list[dict[str, object]]] = list,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings: Final = settings
        self._client: Final = client
        self._proxies: Final = proxies or Proxies()
        self._reloader: Final = Reloader(
            load, settings, procore=procore, proxies=self._proxies, log_as=log_as
        )
        self._policy: Final = policy
        self._approvals: Final = approvals
        self._journal: Final = journal
        self._audit: Final = audit
        self._health: Final = health
        self._board: Final = board
        self._stop: Final = stop
        self._rotation: Final = rotation
        self._live: Final = live
        self._list_settings: Final = list_settings
        self._clock: Final = clock
        self._steady: Final = SteadyGrants()
        self._look: Final = asyncio.Event()
        self._problem: str | None = None
        self._restart: tuple[str, ...] = ()

    async def answer(self, request: Mapping[str, Any]) -> Answer:
        """Do what one request of the control socket asks for.

        Raises:
            CloudConnectError: If it cannot be done; the message says why.
        """
        match request.get("command"):
            case "status":
                return {"status": await self._status()}
            case "reload":
                done = self._reload()
                await self._publish()
                return {
                    "applied": list(done.applied),
                    "restart": list(done.restart),
                    "policy": self._policy.summary(),
                }
            case "settings":
                return {"settings": self._shown_settings()}
            case "requests" if self._live is not None:
                return await self._live.answer(request)
            case "pause":
                seconds = _seconds(request.get("seconds"))
                await self._keep(lambda: self._health.pause(seconds))
                await self._publish()
            case "resume":
                await self._keep(self._health.resume)
                await self._publish()
            case "rotate_key" if self._rotation is not None:
                return {"key_id": await self._rotation.rotate()}
            case "drain":
                self._stop.request()
            case _:
                raise CloudConnectError("The agent does not know this command; update it.")
        return {}

    async def _keep(self, change: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(change)
        except OSError as exc:
            raise CloudConnectError(
                f"The state folder cannot be written: {exc.strerror}; nothing was changed."
            ) from exc

    def reload(self) -> None:
        """Read settings, policy and vault again, as SIGHUP asks; what is wrong is logged."""
        with contextlib.suppress(ConfigurationError):
            self._reload()

    def _reload(self) -> Reloaded:
        """Read settings, policy and vault again; settings that are wrong change nothing.

        Raises:
            ConfigurationError: If they are; it says why.
        """
        try:
            done = self._reloader.reload()
        except ConfigurationError as exc:
            self._problem = exc.message
            log.warning("reload_failed", reason=exc.message)
            raise
        self._problem, self._restart = None, done.restart
        self._policy.reload()
        if self._approvals is not None:
            self._approvals.reload()
        self._client.reload()
        self._look.set()
        return done

    def _shown_settings(self) -> list[dict[str, object]]:
        """Return each setting in use, and what file and environment say, if that is not it."""
        unknown: dict[str, object] = {"source": None, "from": None, "line": None}
        try:
            named = {row["name"]: row for row in self._list_settings()}
        except ConfigurationError:
            named = {}  # what is in use is known all the same
        rows = []
        for name, value in self._reloader.in_use().items():
            row = named.get(name, {**unknown, "value": value})
            waiting = {} if row["value"] == value else {"pending": row["value"]}
            rows.append({**row, "name": name, "value": value, **waiting})
        return rows

    async def watch(self) -> None:
        """Keep the report true, until cancelled."""
        while True:
            await self._publish()
            self._look.clear()
            try:
                async with asyncio.timeout(_WATCH_SECONDS):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _publish(self) -> None:
        grants, _ = await self._grants()
        report = self._board.report.model_copy(
            update={
                "paused": self._health.paused,
                "paused_until": self._paused_until(),
                "started_at": self._health.started_at,
                "clock_skew_seconds": self._health.clock_skew_seconds,
                "procore": self._steady.settle(grants, self._clock()),
                "policy": self._policy.told() | self._waiting(),
                "problems": self._recording_problems(),
            }
        )
        self._board.publish(report)

    def _recording_problems(self) -> tuple[str, ...]:
        """Why calls are not recorded as they should be."""
        problem = self._journal.problem
        found = () if problem is None else (problem,)
        return found if self._audit is None else (*found, *self._audit.problems)

    def _paused_until(self) -> datetime | None:
        """When the pause ends, by the relay's clock, so that a wrong clock here misleads nobody."""
        until = self._health.paused_until
        if until is None:
            return None
        return datetime.fromtimestamp(round(until - (self._health.clock_skew_seconds or 0)), UTC)

    async def _grants(self) -> tuple[tuple[ReportedGrant, ...], str | None]:
        try:
            return tuple(await self._client.grants()), None
        except CloudConnectError as exc:  # a damaged secret must not hide the rest
            return (), exc.message

    async def _journal_document(self) -> dict[str, object]:
        state = "ok" if self._journal.problem is None else "unavailable"
        untold = None
        if self._journal.damaged:
            state = "damaged"
        else:
            with contextlib.suppress(CloudConnectError, TimeoutError):
                async with asyncio.timeout(_JOURNAL_SECONDS):
                    untold = await self._journal.untold()
        return {"state": state, "results_to_tell": untold}

    def _waiting(self) -> dict[str, object]:
        return {} if self._approvals is None else {"waiting": self._approvals.waiting}

    async def _status(self) -> Answer:
        grants, fault = await self._grants()
        snapshot = self._health.snapshot()
        skew = _skew_problem(snapshot.clock_skew_seconds)
        relay = self._settings.relay.tunnel_url
        script = None if snapshot.connected else self._proxies.advice(relay)
        allowed = snapshot.connected and snapshot.certificate == "intercepted"
        found = (
            self._problem,
            _restart_problem(self._restart),
            _READ_ALONG if allowed else None,
            _kept_away_problem(snapshot),
            *self._recording_problems(),
            None if self._approvals is None else self._approvals.problem,
            fault,
            skew,
            script,
        )
        return {
            "state": snapshot.state.value,
            "connected": snapshot.connected,
            "last_round_trip_ms": snapshot.last_round_trip_ms,
            "last_round_trip_at": snapshot.last_round_trip_at,
            "last_echo_at": snapshot.last_echo_at,
            "started_at": snapshot.started_at,
            "relay": self._settings.relay.url,
            "proxy": self._proxies.describe(relay),
            "connector_id": self._settings.relay.connector_id,
            "key_id": None if self._rotation is None else self._rotation.key_id,
            "name": self._settings.name,
            "version": VERSION,
            "in_flight": snapshot.in_flight,
            "paused": snapshot.paused,
            "paused_until": snapshot.paused_until,
            "pause_seconds_left": snapshot.pause_seconds_left,
            "draining": snapshot.draining,
            "since": snapshot.since,
            "clock_skew_seconds": snapshot.clock_skew_seconds,
            "certificate": snapshot.certificate,
            "error": snapshot.error,
            "problems": [problem for problem in found if problem is not None],
            "journal": await self._journal_document(),
            "calls": None if self._live is None else self._live.meter.document(),
            "procore": [grant.model_dump(mode="json") for grant in grants],
            "policy": self._policy.summary() | self._waiting(),
        }


def _restart_problem(names: tuple[str, ...]) -> str | None:
    if not names:
        return None
    return f"{', '.join(names[:5])}: changed, and used from the next start of the agent on."


def _skew_problem(seconds: float | None) -> str | None:
    if seconds is None or abs(seconds) <= SKEW_SECONDS:
        return None
    word = "ahead of" if seconds > 0 else "behind"
    return f"This PC's clock is {lasting(abs(seconds))} {word} the relay's; set it right."


def _kept_away_problem(snapshot: HealthSnapshot) -> str | None:
    if snapshot.drained_by_relay:
        return (
            "An administrator drains this connector in the relay's console: it gets no calls "
            "until somebody has it take calls again there."
        )
    if snapshot.held_seconds_left is None:
        return None
    left = lasting(snapshot.held_seconds_left)
    return (
        "An administrator paused this connector in the relay's console: it gets no calls for "
        f"another {left}, or until somebody resumes it there."
    )


def _seconds(value: object) -> float | None:
    """Return how long to pause; ``None`` is until told otherwise."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CloudConnectError("The duration is not a number of seconds.")
    if not 0 < value <= _MAX_PAUSE_SECONDS:
        raise CloudConnectError("A pause lasts 30 days at most.")
    return float(value)
