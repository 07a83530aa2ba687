"""A service of systemd: its unit, its account, and the command that people use it with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.services.acts import Act, Condition, RunCommand
from cloud_connect.services.backend import Finding, ServiceState, ServiceStatus, Verb
from cloud_connect.services.contents import Contents
from cloud_connect.services.host import Host
from cloud_connect.services.plan import Plan, Step
from cloud_connect.services.steps import Remove, WriteFile
from cloud_connect.services.trust import Program, program_faults
from cloud_connect.services.verifying import CHECKS_OF_UNIT, account_finding, file_finding

__all__ = ["MADE_BY", "SystemdService", "Unit", "free_command", "installed_unit"]

UNITS: Final = Path("/etc/systemd/system")
COMMANDS: Final = Path("/usr/local/bin")
MADE_BY: Final = "service install"  # a file with these words is ours to replace and to remove
_BOOTED: Final = Path("/run/systemd/system")  # sd_booted(3)
_STATES: Final[Mapping[str, ServiceState]] = {
    "active": "running",
    "reloading": "running",
    "activating": "starting",
    "deactivating": "stopped",
    "inactive": "stopped",
    "failed": "failed",
}
_SHOWN: Final = (
    "LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts,StatusText,Result,"
    "NeedDaemonReload,User"
)


def free_command(host: Host, name: str) -> Path:
    """Return where the service's command goes: never in the place of somebody else's.

    Raises:
        ConfigurationError: If there is no such place.
    """
    for file in (COMMANDS / name, COMMANDS / f"{name}-service"):
        try:
            if MADE_BY in host.at(file).read_text("utf-8"):
                return file
        except FileNotFoundError:
            return file
        except (OSError, UnicodeDecodeError):
            continue
    raise ConfigurationError(
        f"{COMMANDS / name} is a program that the installation did not make; move it away."
    )


def installed_unit(host: Host, name: str) -> str:
    """Return the unit that is installed, empty if none is: what it says holds until told else."""
    try:
        return host.at(UNITS / f"{name}.service").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One service of systemd.

    Attributes:
        name: Without ``.service``; also that of the account, the folder and the command.
        text: Of the unit's file.
        command: What people type, as a script for the shell.
        command_file: Where that is, as `free_command` found it.
        wanted: Besides, files to make: each before the unit is written.
        kept: Files that go with the service's folder only.
    """

    name: str
    text: str
    command: str
    command_file: Path
    home: Path
    program: Program
    wanted: Sequence[Step] = ()
    kept: Sequence[Path] = ()

    @property
    def file(self) -> Path:
        """Where the unit is."""
        return UNITS / f"{self.name}.service"


class SystemdService:
    """Installs, removes and reads back one service.

    Args:
        start: Whether the installation starts it as soon as it has what it needs.
    """

    def __init__(self, unit: Unit, contents: Contents, *, host: Host, start: bool = True) -> None:
        self._unit: Final = unit
        self._contents: Final = contents
        self._host: Final = host
        self._start: Final = start

    @property
    def name(self) -> str:
        """How systemd calls it."""
        return self._unit.name

    def installation(self) -> Plan:
        """Return what would install it."""
        unit, host = self._unit, self._host
        file = WriteFile(host=host, path=unit.file, text=unit.text)
        changed = file.needed  # as of now: later steps ask what to do about it
        command = WriteFile(host=host, path=unit.command_file, text=unit.command, mode=0o755)
        steps: list[Step] = [
            RunCommand(
                host=host,
                purpose=f"Make the system account {unit.name}",
                command=(
                    *("useradd", "--system", "--user-group", "--no-create-home"),
                    *("--home-dir", str(unit.home), "--shell", "/usr/sbin/nologin", unit.name),
                ),
                when=lambda: host.account(unit.name) is None,
            ),
            *self._contents.steps(),
            *unit.wanted,
            file,
            command,
        ]
        steps += [
            self._systemctl(
                "Have systemd read its units again",
                "daemon-reload",
                when=lambda: changed or self._shown().get("NeedDaemonReload") == "yes",
            ),
            self._systemctl(
                "Start it whenever the machine starts",
                *("enable", unit.name),
                when=lambda: self._shown().get("UnitFileState") != "enabled",
            ),
            *self._contents.before_start(),
            Act(
                purpose=f"Start the service {unit.name}",
                what=lambda: self._command("restart" if changed else "start"),
                when=lambda: (
                    self._start
                    and self._contents.ready
                    and (changed or self._shown().get("ActiveState") != "active")
                ),
            ),
        ]
        return Plan(
            subject=f"the service {unit.name}",
            steps=steps,
            refusals=[*self._refusals(), *self._contents.refusals(), *self._program_faults()],
            notes=self._contents.advice(),
        )

    def removal(self, *, purge: bool) -> Plan:
        """Return what would remove it."""
        unit, host = self._unit, self._host
        installed = host.at(unit.file).exists()
        steps: list[Step] = [
            self._systemctl(
                "Stop it, and start it no more with the machine",
                *("disable", "--now", unit.name),
                when=lambda: host.at(unit.file).exists(),
            ),
            Remove(host=host, path=unit.file),
            Remove(host=host, path=unit.file.with_name(f"{unit.name}.service.d")),
        ]
        steps += [
            Remove(host=host, path=unit.command_file),
            self._systemctl(
                "Have systemd read its units again", "daemon-reload", when=lambda: installed
            ),
            self._systemctl(
                "Have systemd forget that it failed",
                *("reset-failed", unit.name),
                when=lambda: self._shown().get("ActiveState") == "failed",
            ),
        ]
        if purge:
            steps += [Remove(host=host, path=path) for path in (unit.home, *unit.kept)]
            steps.append(
                RunCommand(
                    host=host,
                    purpose=f"Remove the system account {unit.name}",
                    command=("userdel", unit.name),
                    when=lambda: host.account(unit.name) is not None,
                )
            )
        return Plan(
            subject=f"the service {unit.name}",
            steps=steps,
            refusals=self._refusals(),
            notes=self._contents.farewell() if purge else self._what_stays(),
        )

    def control(self, verb: Verb) -> Sequence[str]:
        """Start, stop or restart it; return what else had to be done for it.

        Raises:
            CloudConnectError: If it is not installed, or does not start.
        """
        self._must_be_possible()
        if not self._host.at(self._unit.file).exists():
            raise ConfigurationError(
                f"The service {self._unit.name} is not installed; run `service install` first."
            )
        besides: list[str] = []
        if verb is not Verb.STOP:
            if not self._contents.ready:
                raise ConfigurationError(" ".join(self._contents.advice()))
            besides += _take(self._contents.before_start())
        self._command(verb.value)
        return besides

    def lend(self) -> None:
        """Let the service's account replace all of its files, until they are taken back.

        Raises:
            CloudConnectError: If the service runs, or is not installed here.
        """
        self._must_be_possible()
        if self._shown().get("ActiveState") in {"active", "activating", "reloading"}:
            raise CloudConnectError(
                f"The service {self._unit.name} runs; stop it first, with `service stop`."
            )
        _take(self._contents.lent())

    def take_back(self) -> None:
        """Give each file to whom it belongs.

        Raises:
            CloudConnectError: If that cannot be done.
        """
        self._must_be_possible()
        _take(self._contents.before_start())

    def status(self) -> ServiceStatus:
        """Return how it fares."""
        self._must_run_systemd()
        shown = self._shown()
        state = _STATES.get(shown.get("ActiveState", ""), "stopped")
        if shown.get("LoadState") == "not-found":
            return ServiceStatus(name=self._unit.name, state="not-installed")
        says = shown.get("StatusText")
        if state == "failed":
            says = self._last_words() or shown.get("Result")
        if state != "running":
            says = self._contents.lacks() or says
        pid = int(shown.get("MainPID", "0"))
        return ServiceStatus(
            name=self._unit.name,
            state=state,
            starts_by_itself=shown.get("UnitFileState") == "enabled",
            pid=pid or None,
            restarts=int(shown.get("NRestarts", "0")),
            account=shown.get("User") or None,
            home=str(self._unit.home),
            says=says or None,
        )

    def verify(self) -> Sequence[Finding]:
        """Read back from the machine all that the installation set."""
        self._must_run_systemd()
        unit, shown = self._unit, self._shown()
        faults = self._program_faults()
        changes = sorted(
            self._host.at(unit.file.with_name(f"{unit.name}.service.d")).glob("*.conf")
        )
        return [
            file_finding("unit", WriteFile(host=self._host, path=unit.file, text=unit.text)),
            Finding(
                name="changes",
                status="WARN" if changes else "PASS",
                cause=(
                    f"This machine's own changes: {', '.join(map(str, changes))}."
                    if changes
                    else "The unit has no changes of this machine's own."
                ),
                fix="See that they weaken nothing: `systemctl cat`." if changes else None,
            ),
            account_finding(unit.name, there=self._host.account(unit.name) is not None),
            Finding(
                name="program",
                status="FAIL" if faults else "PASS",
                cause=faults[0] if faults else f"Only root can change {unit.program.file}.",
            ),
            *self._contents.findings(),
            *(check(shown, unit.name) for check in CHECKS_OF_UNIT),
        ]

    def _program_faults(self) -> list[str]:
        return program_faults(self._unit.program)

    def _refusals(self) -> list[str]:
        found = []
        if not self._host.at(_BOOTED).is_dir():
            found.append(
                "This machine is not run by systemd; docs/container.md tells how to run in a "
                "container."
            )
        if not self._host.is_administrator:
            found.append("Only root can do that; run the command with sudo.")
        return found

    def _must_run_systemd(self) -> None:
        if not self._host.at(_BOOTED).is_dir():
            raise ConfigurationError(self._refusals()[0])

    def _must_be_possible(self) -> None:
        refusals = self._refusals()
        if refusals:
            raise ConfigurationError(" ".join(refusals))

    def _what_stays(self) -> list[str]:
        unit = self._unit
        stays = [str(path) for path in (unit.home, *unit.kept) if self._host.at(path).exists()]
        if self._host.account(unit.name) is not None:
            stays.insert(0, f"the account {unit.name}")
        if not stays:
            return []
        return [
            f"Left in place: {', '.join(stays)}. `service uninstall --purge` removes that, too."
        ]

    def _shown(self) -> dict[str, str]:
        """Return what systemd knows of the service."""
        ran = self._host.run("systemctl", "show", "-p", _SHOWN, f"{self._unit.name}.service")
        pairs = (line.partition("=") for line in ran.output.splitlines())
        return {key: value for key, _, value in pairs}

    def _systemctl(self, purpose: str, *words: str, when: Condition) -> RunCommand:
        return RunCommand(
            host=self._host, purpose=purpose, command=("systemctl", *words), when=when
        )

    def _command(self, verb: str) -> None:
        ran = self._host.run("systemctl", verb, self._unit.name)
        if ran.status != 0:
            raise CloudConnectError(
                f"The service {self._unit.name} did not {verb}: "
                f"{self._last_words() or ran.complaint} `journalctl -u {self._unit.name}` tells "
                "more."
            )

    def _last_words(self) -> str:
        ran = self._host.run(
            *("journalctl", "-u", self._unit.name, "-n", "20", "-o", "cat", "--no-pager"),
            "_SYSTEMD_UNIT=" + f"{self._unit.name}.service",
        )
        lines = [line for line in ran.output.splitlines() if line.startswith("Error: ")]
        return lines[-1].removeprefix("Error: ") if lines else ""


def _take(steps: Sequence[Step]) -> list[str]:
    """Take the steps that are needed; return what they did."""
    done = []
    for step in steps:
        if step.needed:
            step.carry_out()
            done.append(step.sentence)
    return done
