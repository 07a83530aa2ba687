"""What the checks look at: the settings, the running agent, and what earlier checks found."""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final
from urllib.parse import urlsplit

from cloud_connect.errors import CloudConnectError, ConfigurationError, VaultLockedError
from cloud_connect.handshake import AgentCredentials
from cloud_connect.signing import SigningKey
from cloud_connect_agent.control import AgentNotAnsweringError, AgentNotRunningError, ask
from cloud_connect_agent.doctor.read_only_vault import EmptyVault, ReadOnlyVault
from cloud_connect_agent.hosting.service import ServiceBackend, ServiceWish, service_of
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.connection_test import TestReport
from cloud_connect_agent.procore.transport import Timeouts
from cloud_connect_agent.proxies import Proxies, Proxy
from cloud_connect_agent.relay_api import RelayProof
from cloud_connect_agent.settings import AgentSettings
from cloud_connect_agent.vault import vault_of

__all__ = ["STEP_SECONDS", "Case", "Daemon", "DaemonState", "Place", "open_case"]

STEP_SECONDS: Final = 4.0  # for one step of a connection: two of them fit into one check
_DAEMON_SECONDS: Final = 3.0  # for an answer of the running agent, which needs milliseconds


class DaemonState(Enum):
    """What is known of the agent on these folders."""

    RUNNING = auto()
    SILENT = auto()  # it is there, and does not answer
    STOPPED = auto()
    FOREIGN = auto()  # this account may not ask it


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The agent on these folders.

    Attributes:
        status: What it says of itself, if it runs and answers.
    """

    state: DaemonState
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def connected(self) -> bool:
        """Whether it has a session with the relay."""
        return bool(self.status.get("connected"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a URL leads."""

    host: str
    port: int
    secure: bool

    @classmethod
    def of(cls, url: str) -> "Place":
        """Read it from a URL that ``check_url`` let pass."""
        parts = urlsplit(url)
        secure = parts.scheme in {"https", "wss"}
        return cls(
            host=parts.hostname or "", port=parts.port or (443 if secure else 80), secure=secure
        )


@dataclass(slots=True, kw_only=True)
class Case:
    """One PC, and what is known of it so far.

    Attributes:
        loaded: The settings, if they can be used.
        fault: Why they cannot.
        proxy: The one on the way to the relay, once that is known.
        proxy_fault: Why the proxy's settings cannot be used.
        vault: Reads the secrets, and keeps for itself what is put there.
        vault_fault: Why no vault can be looked at.
        client: The Procore client on that vault.
        opened: Whether the vault could be read.
        key: This PC's key, once the vault was opened.
        pinned: Which relay this PC is enrolled at, as which connector; its key stands for none.
        tls: Whom to trust; the check of TLS makes it.
        proof: Who answers at the relay's address, once it has said so.
        api_fault: Why nobody answered there.
        clock_ahead: Seconds that this PC's clock is ahead of the relay's, once known.
        companies: Those that whoever runs this wants to have tested, besides known ones.
        tests: The connection tests of companies that were run.
        service: Returns the service of this machine that may run the agent.
    """

    paths: AgentPaths
    daemon: Daemon
    loaded: AgentSettings | None = None
    fault: str | None = None
    proxies: Proxies = field(default_factory=Proxies)
    proxy: Proxy | None = None
    proxy_fault: str | None = None
    vault: ReadOnlyVault | None = None
    vault_fault: str | None = None
    client: ProcoreClient | None = None
    opened: bool = False
    key: SigningKey | None = None
    pinned: AgentCredentials | None = None
    tls: ssl.SSLContext | None = None
    proof: RelayProof | None = None
    api_fault: str | None = None
    clock_ahead: float | None = None
    companies: tuple[int, ...] = ()
    tests: list[TestReport] = field(default_factory=list)
    service: Callable[[ServiceWish], ServiceBackend] = service_of

    @property
    def settings(self) -> AgentSettings:
        """The settings; only checks that need them may ask."""
        if self.loaded is None:
            raise ConfigurationError(self.fault or "The settings were not read.")
        return self.loaded

    @property
    def tunnel_url(self) -> str:
        """Where the agent dials."""
        url = self.settings.relay.tunnel_url
        if url is None:
            raise ConfigurationError("This PC is not enrolled.")
        return url

    @property
    def settings_hidden(self) -> bool:
        """Whether the settings are another account's and closed to the one that runs this."""
        if self.owner is None:
            return False
        effective = os.access in os.supports_effective_ids
        return not os.access(self.paths.config_file, os.R_OK, effective_ids=effective)

    @property
    def owner(self) -> int | None:
        """The account that the state belongs to, if that is not the one that runs this."""
        if sys.platform != "win32":  # access lists say who may do what there
            for folder in (self.paths.state_dir, self.paths.config_dir):
                try:
                    owner = folder.stat().st_uid
                except OSError:
                    continue
                return None if owner == os.geteuid() else owner
        return None


@asynccontextmanager
async def open_case(paths: AgentPaths, load: Callable[[], AgentSettings]) -> AsyncIterator[Case]:
    """Look at the PC without a check: settings, running agent, vault, Procore client.

    Nothing is written, no lock is taken, and nobody is dialled.
    """
    case = Case(paths=paths, daemon=await asyncio.to_thread(_ask, paths))
    async with AsyncExitStack() as stack:
        try:
            case.loaded = await asyncio.to_thread(load)
        except ConfigurationError as exc:
            case.fault = exc.message
        else:
            await _open_parts(case, stack)
        yield case


async def _open_parts(case: Case, stack: AsyncExitStack) -> None:
    settings = case.settings
    try:
        case.proxies = Proxies.of(settings.proxy)
    except ConfigurationError as exc:
        case.proxy_fault = exc.message
    try:
        vault = await asyncio.to_thread(vault_of, case.paths, settings.vault)
    except VaultLockedError as exc:
        case.vault_fault = exc.message
    except OSError as exc:
        case.vault_fault = f"The vault cannot be looked at: {exc.strerror}."
    else:
        case.vault = ReadOnlyVault(vault)
    case.client = await stack.enter_async_context(
        ProcoreClient.open(
            settings.procore,
            case.vault or EmptyVault(),
            timeouts=Timeouts(connect_timeout=STEP_SECONDS, stall_timeout=2 * STEP_SECONDS),
            proxies=case.proxies,
        )
    )


def _ask(paths: AgentPaths) -> Daemon:
    try:
        answer = ask(paths.control_socket, {"command": "status"}, timeout=_DAEMON_SECONDS)
    except AgentNotAnsweringError as exc:
        foreign = isinstance(exc.__cause__, PermissionError)
        return Daemon(state=DaemonState.FOREIGN if foreign else DaemonState.SILENT)
    except AgentNotRunningError:
        return Daemon(state=DaemonState.STOPPED)
    except CloudConnectError:
        return Daemon(state=DaemonState.SILENT)
    return Daemon(state=DaemonState.RUNNING, status=answer["status"])
