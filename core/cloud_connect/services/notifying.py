"""The service manager is told that a program is up, how it fares, and that it has not hung."""

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Final, Protocol, Self

import structlog

__all__ = ["ServiceManager", "Vitality"]

log = structlog.get_logger(__name__)

_UNIX: Final[int] = getattr(socket, "AF_UNIX", 0)  # Windows has none, and no such manager
_STATUS_SECONDS: Final = 15.0  # between two words about how it fares, without a watchdog
_PER_PERIOD: Final = 3  # signs of life in the watchdog's time: a busy machine may lose one


class Vitality(Protocol):
    """How the program fares."""

    @property
    def summary(self) -> str:
        """A line for people."""
        ...

    @property
    def is_stuck(self) -> bool:
        """Whether it runs and gets nowhere, so that a restart would help."""
        ...


class ServiceManager:
    """The end of systemd's notification socket that is ours; without one, nothing is said.

    Args:
        address: Of the socket; ``@`` stands for an abstract one.
        watchdog_seconds: Without a sign of life for so long, the service is restarted.
    """

    def __init__(
        self, address: str | None = None, *, watchdog_seconds: float | None = None
    ) -> None:
        self._address: Final = address
        self._interval: Final = (
            _STATUS_SECONDS if watchdog_seconds is None else watchdog_seconds / _PER_PERIOD
        )
        self._watched: Final = watchdog_seconds is not None

    @classmethod
    def of(cls, environ: Mapping[str, str], *, pid: int | None = None) -> Self:
        """Read what the service manager said when it started this process."""
        address = environ.get("NOTIFY_SOCKET")
        if not address or not hasattr(socket, "AF_UNIX"):
            return cls()
        mine = environ.get("WATCHDOG_PID") in {None, str(pid or os.getpid())}
        try:
            seconds = int(environ.get("WATCHDOG_USEC", "")) / 1_000_000
        except ValueError:
            seconds = 0.0
        return cls(address, watchdog_seconds=seconds if mine and seconds > 0 else None)

    def ready(self) -> None:
        """Say that the program has started."""
        self._say("READY=1")

    def stopping(self) -> None:
        """Say that it ends, in order."""
        self._say("STOPPING=1", "STATUS=Finishing the running calls.")

    def done(self, why: str) -> None:
        """Say that there is nothing to run, so that an end right after it counts as a good one.

        systemd takes any end of a program that never was ready for a failure.
        """
        self._say("READY=1", f"STATUS={why}")

    async def attend(self, program: Vitality) -> None:
        """Give signs of life, until cancelled, for as long as the event loop and *program* move."""
        while self._address is not None:
            words = [f"STATUS={program.summary}"]
            if program.is_stuck:
                log.error("program_stuck", summary=program.summary)
            elif self._watched:
                words.append("WATCHDOG=1")
            self._say(*words)
            await asyncio.sleep(self._interval)

    def _say(self, *words: str) -> None:
        if self._address is None:
            return
        address = self._address
        if address.startswith("@"):
            address = f"\0{address[1:]}"
        try:
            with socket.socket(_UNIX, socket.SOCK_DGRAM) as sending:
                sending.setblocking(False)
                sending.sendto("\n".join(words).encode(), address)
        except OSError as exc:  # it restarts itself, or is gone: the calls go on
            log.debug("service_manager_not_told", reason=str(exc))
