"""The agent as a Windows service: what is to be done, what was done, and how it fares."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import PureWindowsPath
from typing import Final

from cloud_connect.errors import CloudConnectError
from cloud_connect.services import Finding, Plan, ServiceStatus, Step, Verb
from cloud_connect_agent.hosting.windows_access import (
    changers,
    folder_access,
    key_access,
    owner_fault,
    service_sid,
    services_in,
    state_access,
)
from cloud_connect_agent.hosting.windows_change import Change
from cloud_connect_agent.hosting.windows_machine import WindowsMachine
from cloud_connect_agent.hosting.windows_sddl import AccessList
from cloud_connect_agent.hosting.windows_settings import (
    REASONS,
    ServiceSettings,
    Setting,
    service_name,
    shown,
    wanted_settings,
)

__all__ = ["WindowsService"]

_INSTALL: Final = "run `cloud-connect service install` again, as an administrator"


class WindowsService:
    """One service, installed in the same way each time.

    Args:
        instance: Which of several agents on this PC.
        enrolled: Whether the agent in the service's folder belongs to a relay yet.
        purge_home: Removes the folder with all that is in it.
    """

    def __init__(
        self,
        machine: WindowsMachine,
        *,
        instance: str | None = None,
        program: PureWindowsPath,
        home: PureWindowsPath,
        enrolled: Callable[[], bool] = lambda: False,
        purge_home: Callable[[], None] | None = None,
        start: bool = True,
    ) -> None:
        self._machine: Final = machine
        self._name: Final = service_name(instance)
        self._instance: Final = instance
        self._program: Final = program
        self._home: Final = home
        self._enrolled: Final = enrolled
        self._purge_home: Final = purge_home
        self._start: Final = start
        wanted = wanted_settings(
            self._name, program=program, home=home, message_file=machine.message_file()
        )
        self._wanted: Final = wanted
        sid = service_sid(self._name)
        self._sid: Final = sid
        self._folders: Final = {
            str(home): folder_access(sid),
            str(home / "state"): state_access(sid),
            str(home / "logs"): state_access(sid),
        }

    @property
    def name(self) -> str:
        """How Windows calls it."""
        return self._name

    def installation(self) -> Plan:
        """Return what would install it."""
        return Plan(
            subject=f"the service {self._name}",
            steps=tuple(self._installing()),
            refusals=tuple(self._refusals()),
            notes=tuple(self._next()),
        )

    def removal(self, *, purge: bool) -> Plan:
        """Return what would remove it; its folder stays unless *purge*."""
        machine, name = self._machine, self._name

        def installed() -> bool:
            return machine.settings(name) is not None

        def there() -> bool:
            return machine.access(str(self._home)) is not None

        steps: list[Step] = [
            Change(
                sentence=f"Stop {name}; running calls get 25 seconds",
                content=f"ControlService({name}, SERVICE_CONTROL_STOP)",
                missing=self._runs,
                do=lambda: machine.stop(name),
            ),
            Change(
                sentence=f"Remove the service {name} and its source in the event log",
                content=f"DeleteService({name})",
                missing=installed,
                do=lambda: machine.delete(name),
            ),
        ]
        notes = []
        if purge:
            steps.append(
                Change(
                    sentence=f"Remove {self._home} with identity, credentials, records and logs",
                    content=None,
                    missing=there,
                    do=self._purge,
                )
            )
        elif there():
            notes.append(
                f"{self._home} stays, with identity and credentials; `cloud-connect service "
                "uninstall --purge` removes it, too."
            )
        return Plan(
            subject=f"the service {name}",
            steps=steps,
            refusals=tuple(self._not_administrator()),
            notes=notes,
        )

    def control(self, verb: Verb) -> Sequence[str]:
        """Start, stop or restart it.

        Raises:
            CloudConnectError: If it is not installed, or Windows refuses.
        """
        if self._machine.state(self._name) is None:
            raise CloudConnectError(
                f"The service {self._name} is not installed; run `cloud-connect service install`."
            )
        if verb is not Verb.STOP and not self._enrolled():
            raise CloudConnectError(self._enrol_first())
        if verb in {Verb.STOP, Verb.RESTART} and self._runs():
            self._machine.stop(self._name)
        if verb in {Verb.START, Verb.RESTART}:
            self._machine.start(self._name)
        return ()

    def status(self) -> ServiceStatus:
        """Return how it fares, as Windows says."""
        state, settings = self._machine.state(self._name), self._machine.settings(self._name)
        if state is None or settings is None:
            return ServiceStatus(name=self._name, state="not-installed")
        failed = state.word == "stopped" and state.exit_status
        return ServiceStatus(
            name=self._name,
            state=(
                "failed"
                if failed
                else "running"
                if state.word in {"running", "stopping"}
                else "starting"
                if state.word == "starting"
                else "stopped"
            ),
            starts_by_itself=settings.automatic,
            pid=state.pid,
            account=settings.account,
            home=str(self._home),
            says=_says(state.word, state.exit_status),
        )

    def verify(self) -> Sequence[Finding]:
        """Read back every setting, folder and the program's own list."""
        found = self._machine.settings(self._name)
        if found is None:
            return (
                Finding(
                    name="service",
                    status="FAIL",
                    cause=f"Windows knows no service {self._name}.",
                    fix="Run `cloud-connect service install` as an administrator.",
                ),
            )
        return (
            *(self._finding(setting, found) for setting in Setting),
            *(self._folder_finding(path, access) for path, access in self._folders.items()),
            self._program_finding(),
        )

    def _installing(self) -> Iterator[Step]:
        machine, name, wanted = self._machine, self._name, self._wanted
        for path, access in self._folders.items():
            yield self._folder_step(path, access)
        yield self._key_step()
        created = "\n".join(
            f"{setting}: {shown(setting, wanted)}"
            for setting in (Setting.IMAGE, Setting.ACCOUNT, Setting.TITLE, Setting.START)
        )
        yield Change(
            sentence=f"Register the service {name}, which runs as {wanted.account}",
            content=created,
            missing=lambda: machine.settings(name) is None,
            do=lambda: machine.create(name, wanted),
        )
        for setting in Setting:
            yield self._setting_step(setting)
        if self._start and self._enrolled():
            yield Change(
                sentence=f"Start {name}",
                content=f"StartService({name})",
                missing=lambda: not self._runs(),
                do=lambda: machine.start(name),
            )

    def _setting_step(self, setting: Setting) -> Step:
        machine, name, wanted = self._machine, self._name, self._wanted

        def differs() -> bool:
            found = machine.settings(name)
            return found is None or not _same(setting, wanted, found)

        return Change(
            sentence=f"Set {setting}: {REASONS[setting]}",
            content=shown(setting, wanted),
            missing=differs,
            do=lambda: machine.change(name, setting, wanted),
        )

    def _folder_step(self, path: str, access: AccessList) -> Step:
        machine = self._machine

        def differs() -> bool:
            found = machine.access(path)
            return found is None or not found.same_as(access)

        def do() -> None:
            if machine.access(path) is None:
                machine.make_folder(path, access)
            else:
                machine.set_access(path, access)

        return Change(
            sentence=f"Let only the system, administrators and {self._name} into {path}",
            content=access.text,
            missing=differs,
            do=do,
        )

    def _key_step(self) -> Step:
        """Let the service read a key that an administrator's enrolment made before it was there."""
        machine, key, access = (
            self._machine,
            str(self._home / "state/vault.key"),
            key_access(self._sid),
        )

        def closed() -> bool:
            found = machine.access(key)
            return found is not None and self._sid not in services_in(found)

        return Change(
            sentence=f"Let {self._name} open the vault that is there",
            content=access.text,
            missing=closed,
            do=lambda: machine.set_access(key, access),
        )

    def _refusals(self) -> Iterator[str]:
        yield from self._not_administrator()
        own = self._machine.own_account()
        for path in self._folders:
            found = self._machine.access(path)
            fault = None if found is None else owner_fault(path, found, own=own)
            if fault is not None:
                yield fault
        if self._strangers():
            yield self._open_program()

    def _not_administrator(self) -> Iterator[str]:
        if not self._machine.administrator():
            yield (
                "Services are the administrator's: open the terminal with `Run as administrator` "
                "and run this again."
            )

    def _next(self) -> Iterator[str]:
        named = "" if self._instance is None else f" --name {self._instance}"
        if not self._enrolled():
            yield self._enrol_first()
        yield f"`cloud-connect service verify{named}` reads all of this back from Windows."

    def _enrol_first(self) -> str:
        named = "" if self._instance is None else f" --name {self._instance}"
        return (
            f'Enrol it next: `cloud-connect --home "{self._home}" enrol --relay URL`, then '
            f"`cloud-connect service start{named}`."
        )

    def _runs(self) -> bool:
        state = self._machine.state(self._name)
        return state is not None and state.word != "stopped"

    def _purge(self) -> None:
        if self._purge_home is None:
            raise CloudConnectError(f"Remove {self._home} yourself: this is no Windows.")
        self._purge_home()

    def _finding(self, setting: Setting, found: ServiceSettings) -> Finding:
        wanted, is_there = shown(setting, self._wanted), shown(setting, found)
        if is_there is None:
            return Finding(
                name=setting,
                status="WARN",
                cause=f"Windows does not tell; it should be {wanted}.",
                fix=f"An old Windows lacks this; else {_INSTALL}.",
            )
        if _same(setting, self._wanted, found):
            return Finding(name=setting, status="PASS", cause=is_there)
        return Finding(
            name=setting,
            status="FAIL",
            cause=f"It is {is_there}, and should be {wanted}: {REASONS[setting]}.",
            fix=f"{_INSTALL[:1].upper()}{_INSTALL[1:]}.",
        )

    def _folder_finding(self, path: str, access: AccessList) -> Finding:
        found = self._machine.access(path)
        if found is not None and found.same_as(access):
            return Finding(
                name="folder",
                status="PASS",
                cause=f"{path} lets in the system, administrators and the service only.",
            )
        is_there = "is not there" if found is None else f"has the list {found.text}"
        return Finding(
            name="folder",
            status="FAIL",
            cause=f"{path} {is_there}; it should have {access.text}.",
            fix=f"{_INSTALL[:1].upper()}{_INSTALL[1:]}.",
        )

    def _program_finding(self) -> Finding:
        if self._strangers():
            return Finding(
                name="program",
                status="FAIL",
                cause=self._open_program(),
                fix="Install below C:\\Program Files, where only administrators write.",
            )
        return Finding(
            name="program",
            status="PASS",
            cause=f"Only administrators can change {self._program.parent}.",
        )

    def _strangers(self) -> frozenset[str]:
        found = (
            self._machine.access(str(self._program)),
            self._machine.access(str(self._program.parent)),
        )
        own = self._machine.own_account()
        return frozenset().union(
            *(changers(access, own=own) for access in found if access is not None)
        )

    def _open_program(self) -> str:
        who = ", ".join(sorted(self._strangers()))
        return (
            f"Other accounts ({who}) can change the programs in {self._program.parent}, and the "
            "service would run what they put there; install Cloud Connect below C:\\Program Files."
        )


def _same(setting: Setting, wanted: ServiceSettings, found: ServiceSettings) -> bool:
    ours, theirs = shown(setting, wanted), shown(setting, found)
    if theirs is None or ours is None:
        return False
    if setting in {Setting.ACCOUNT, Setting.EVENT_SOURCE}:  # Windows keeps their case as it likes
        return ours.lower() == theirs.lower()
    return ours == theirs


def _says(word: str, exit_status: int) -> str | None:
    if word == "stopping":
        return "It finishes the running calls."
    if word == "stopped" and exit_status:
        return f"It ended with exit status {exit_status}; the event log and its own log say why."
    return None
