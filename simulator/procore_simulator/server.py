"""The process's listeners: one pair of origins for each environment, and the admin origin."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from procore_simulator.admin import AdminOrigin
from procore_simulator.api import ApiOrigin
from procore_simulator.delivery import TRANSPORT
from procore_simulator.login import LoginOrigin
from procore_simulator.messages import JsonObject, Receive, Scope, Send
from procore_simulator.settings import SimulatorSettings
from procore_simulator.simulation import Simulation
from procore_simulator.storage.disk import Disk
from procore_simulator.storage.origin import StorageOrigin

__all__ = ["ListenError", "RunningSimulator", "open_simulator"]

_BACKLOG = 2048
_DRAIN_SECONDS = 2
"""How long answers under way may take when the process is told to stop."""


class ListenError(Exception):
    """A port cannot be listened on; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSimulator:
    """A simulator that takes requests."""

    simulation: Simulation
    admin_url: str
    storage_url: str
    api_urls: dict[str, str]
    login_urls: dict[str, str]

    @property
    def api_url(self) -> str:
        """The API origin of the first environment."""
        return self.api_urls[self.simulation.primary.environment]

    @property
    def login_url(self) -> str:
        """The login origin of the first environment."""
        return self.login_urls[self.simulation.primary.environment]

    def describe(self) -> JsonObject:
        """Write what a program needs to use the simulator."""
        worlds = self.simulation.worlds
        primary = self.simulation.primary
        return {
            "ready": True,
            "api_url": self.api_url,
            "login_url": self.login_url,
            "admin_url": self.admin_url,
            "storage_url": self.storage_url,
            "environments": {
                name: {
                    "client_id": world.grants.app.client_id,
                    "client_secret": world.grants.app.client_secret,
                    "api_url": self.api_urls[name],
                    "login_url": self.login_urls[name],
                    "storage_url": self.storage_url,
                }
                for name, world in worlds.items()
            },
            "companies": [
                {
                    "id": company.id,
                    "name": company.name,
                    "visible": company.visible,
                    "connected": company.connected,
                }
                for company in primary.companies.values()
            ],
            "projects": [
                {"id": project.id, "name": project.name, "company_id": project.company.id}
                for project in primary.projects.values()
            ],
        }


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which also hands out the connection, so that faults can cut it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: Scope = self.scope  # type: ignore[assignment]  # a TypedDict is a mapping
        scope["extensions"] = {TRANSPORT: self.transport}


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, telling when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the command line."""
        yield


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, or asyncio would leave Nagle's algorithm on: 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        reason = (exc.strerror or "it cannot be used").lower()
        raise ListenError(f"Cannot listen on {host}:{port}: {reason}.") from exc
    return listener


@contextlib.asynccontextmanager
async def open_simulator(settings: SimulatorSettings) -> AsyncIterator[RunningSimulator]:
    """Listen on every origin, and stop when the block ends.

    Raises:
        ListenError: If a port is taken.
    """
    origins: dict[int, Any] = {}
    with contextlib.ExitStack() as stack:

        def listen(port: int) -> tuple[socket.socket, int, str]:
            listener = stack.enter_context(_bind(settings.host, port))
            number = listener.getsockname()[1]
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            return listener, number, f"http://{host}:{number}"

        listener, storage_port, storage_url = listen(settings.storage_port)
        disk = stack.enter_context(Disk.open(max_bytes=settings.max_stored_bytes))
        simulation = Simulation(settings, disk, storage_url=storage_url)
        origins[storage_port] = StorageOrigin(simulation)
        listeners = [listener]
        api_urls: dict[str, str] = {}
        login_urls: dict[str, str] = {}
        for index, (name, world) in enumerate(simulation.worlds.items()):
            listener, port, api_urls[name] = listen(settings.port if index == 0 else 0)
            origins[port] = ApiOrigin(simulation, world, api_urls[name])
            listeners.append(listener)
            listener, port, login_urls[name] = listen(settings.login_port if index == 0 else 0)
            origins[port] = LoginOrigin(simulation, world)
            listeners.append(listener)
        listener, port, admin_url = listen(settings.admin_port)
        origins[port] = AdminOrigin(simulation)
        listeners.append(listener)

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await origins[scope["server"][1]](scope, receive, send)

        server = _Server(
            uvicorn.Config(
                application,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_DRAIN_SECONDS,
            )
        )
        async with asyncio.TaskGroup() as group:
            simulation.primary.warm()
            group.create_task(server.serve(sockets=listeners), name="simulator-server")
            try:
                await server.listening.wait()
                yield RunningSimulator(
                    simulation=simulation,
                    admin_url=admin_url,
                    storage_url=storage_url,
                    api_urls=api_urls,
                    login_urls=login_urls,
                )
            finally:
                server.should_exit = True
