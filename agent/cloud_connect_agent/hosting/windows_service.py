"""The process that Windows starts as the service, as a module of Python's or by our launcher.

It imports next to nothing before Windows has its first answer. Three threads: Windows' dispatcher,
which is the main one, the one that Windows gives the service, where ``ServiceHost`` waits and
reports, and the agent's own, with its event loop. Under ``pythonservice.exe`` the second would
count as the main thread and the loop would not start, so that one is not used.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cloud_connect_agent.hosting.windows_host import Outcome, Report, ServiceHost, State

__all__ = ["main", "run_hosted"]

_ON_WINDOWS: Final[bool] = sys.platform == "win32"
_NOT_A_SERVICE: Final = 1063  # ERROR_FAILED_SERVICE_CONTROLLER_CONNECT: a person started it
_USAGE: Final = 2
# By these, whoever sets the machine's environment would read the traffic or load code of theirs.
_UNSAFE: Final = (
    "SSLKEYLOGFILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
)


def main(words: Sequence[str] | None = None) -> int:
    """Be the service that the command line names, until Windows stops it."""
    given = _arguments(words)
    for name in _UNSAFE:
        os.environ.pop(name, None)  # noqa: TID251 - what is taken away is no setting
    _have_streams()
    if not _ON_WINDOWS:
        sys.stderr.write("This is started by Windows; here, run `cloud-connect run`.\n")
        return _USAGE
    import pywintypes
    import servicemanager

    servicemanager.Initialize(given.name, servicemanager.__file__)
    hosted = type(given.name, (_Hosted,), {"name": given.name, "home": given.home})
    servicemanager.PrepareToHostSingle(hosted)
    try:
        servicemanager.StartServiceCtrlDispatcher()  # type: ignore[no-untyped-call] # the stub's
    except pywintypes.error as exc:
        if exc.winerror != _NOT_A_SERVICE:
            raise
        sys.stderr.write(
            "This is started by Windows: run `cloud-connect service start`, or `cloud-connect run` "
            "to see it work.\n"
        )
        return _USAGE
    return 0


def run_hosted(host: ServiceHost, home: Path) -> Outcome:
    """Run the agent in *home* until it ends, and say how that went."""
    import structlog

    from cloud_connect.command_line import ExitStatus
    from cloud_connect.errors import CloudConnectError
    from cloud_connect_agent.cli.exits import exit_status_of
    from cloud_connect_agent.cli.invocation import Invocation
    from cloud_connect_agent.cli.run import serve_agent
    from cloud_connect_agent.hosting.windows_manager import WindowsManager

    try:
        status = serve_agent(Invocation(home=home), WindowsManager(host))
    except CloudConnectError as exc:
        found = exit_status_of(exc)
        # The same two after which systemd's unit leaves it be.
        helpless = found in {ExitStatus.NOT_ENROLLED, ExitStatus.BAD_CONFIGURATION}
        return Outcome(exit_status=found, reason=exc.message, helpless=helpless)
    except Exception as exc:  # noqa: BLE001 - the border to Windows, which is told instead
        structlog.get_logger(__name__).error("agent_broke_down", exc_info=True)
        return Outcome(exit_status=1, reason=f"The agent broke down ({type(exc).__name__}).")
    return Outcome(exit_status=status)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cloud-connect-service")
    parser.add_argument("--name", required=True, help="of the service")
    parser.add_argument("--home", required=True, type=Path, help="where its files are")
    return parser.parse_args(words)


def _have_streams() -> None:
    """Give Python streams where Windows gave the service none, so that nobody trips over that."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, _Nowhere())


class _Nowhere(io.TextIOBase):
    """Takes what is written; the null device of Windows would call itself a terminal."""

    def writable(self) -> bool:
        """It takes all."""
        return True

    def write(self, text: str, /) -> int:
        """Forget it."""
        return len(text)


class _Hosted:
    """What pywin32 makes one of, in the thread that Windows gives the service."""

    name: str
    home: Path

    def __init__(self, words: Sequence[str]) -> None:
        import servicemanager

        del words
        self._handle: Final[int] = servicemanager.RegisterServiceCtrlHandler(
            self.name, self._told, True
        )
        servicemanager.SetEventSourceName(self.name)
        self._host: Final = ServiceHost(self._report)

    def SvcRun(self) -> None:  # noqa: N802 - pywin32 calls it so
        """Be the service until it ends."""
        import servicemanager

        outcome = self._host.serve(lambda: run_hosted(self._host, self.home))
        if outcome.reason is not None:
            servicemanager.LogErrorMsg(f"{self.name}: {outcome.reason}")
        elif outcome.exit_status == 0:
            servicemanager.LogInfoMsg(f"{self.name} has stopped.")
        self._host.stopped(outcome)
        if outcome.hung or outcome.exit_status:
            # pywin32 would say afterwards that all went well, and a hung thread never ends.
            os._exit(outcome.exit_status or 1)

    def _told(self, control: int, event: int, data: object) -> None:
        del event, data
        self._host.told(control)

    def _report(self, said: Report) -> None:
        import servicemanager
        import win32service

        if said.state is State.STOPPED and said.exit_status == 0:
            return  # pywin32 says so as soon as SvcRun returns, and must be the only one
        win32service.SetServiceStatus(self._handle, said.as_windows_takes_it())
        if said.state is State.RUNNING:
            servicemanager.LogInfoMsg(f"{self.name} has started.")


if __name__ == "__main__":
    sys.exit(main())
