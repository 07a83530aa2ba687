"""The relay as a service of systemd: its unit, its folder and the command that people type."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from cloud_connect.errors import ConfigurationError
from cloud_connect.services import Finding, Step
from cloud_connect.services.host import Host, LocalHost
from cloud_connect.services.programs import this_program
from cloud_connect.services.steps import Folder, GiveTree
from cloud_connect.services.systemd import SystemdService, Unit, free_command, installed_unit
from cloud_connect.services.trust import Program, hidden_from_services
from cloud_connect.services.units import render_unit, unit_word
from cloud_connect_relay.paths import RelayPaths

__all__ = ["RelayWish", "relay_service"]

_NAME: Final = "cloud-connect-relay"
_STATE: Final = Path("/var/lib")
_PRIVATE: Final = 0o700
_SERVED: Final = re.compile(
    r"^ExecStart=\S+ serve --data-dir (?P<home>\S+)(?P<flags>.*)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayWish:
    """What a person asked for on the command line.

    Attributes:
        home: The relay's data folder; ``None`` for the usual one.
        flags: Of ``serve``, without the folder; empty keeps those of an earlier installation.
        start: Whether a relay that was initialised is started at once.
    """

    home: Path | None = None
    flags: tuple[str, ...] = ()
    start: bool = True


def relay_service(
    wish: RelayWish, *, host: Host | None = None, program: Program | None = None
) -> SystemdService:
    """Return the relay's service; nothing is changed yet.

    Args:
        program: The installation that it runs; ``None`` for the one that runs now.

    Raises:
        ConfigurationError: If a folder or a flag cannot be used.
    """
    host = LocalHost() if host is None else host
    program = this_program(_NAME, "cloud_connect_relay") if program is None else program
    before = _SERVED.search(installed_unit(host, _NAME))
    home = _home(wish.home, None if before is None else before["home"])
    flags = " ".join(unit_word(flag, what="The value") for flag in wish.flags)
    if not flags:
        flags = "--port 8080 --tunnel-port 8081" if before is None else before["flags"].strip()
    command = free_command(host, _NAME)
    return SystemdService(
        Unit(
            name=_NAME,
            text=_unit(home, program.file, flags),
            command=_COMMAND.replace("@PROGRAM@", str(program.file))
            .replace("@HOME@", str(home))
            .replace("@COMMAND@", command.name),
            command_file=command,
            home=home,
            program=program,
        ),
        _RelayHome(host, home, command=command.name),
        host=host,
        start=wish.start,
    )


class _RelayHome:
    """The relay's data folder, its account's alone."""

    def __init__(self, host: Host, home: Path, *, command: str) -> None:
        self._host: Final = host
        self._home: Final = home
        self._command: Final = command

    @property
    def ready(self) -> bool:
        """Whether the relay was initialised."""
        return self._host.at(RelayPaths(data_dir=self._home).key_file).exists()

    def lacks(self) -> str | None:
        """Say that there is no store yet."""
        return None if self.ready else f"Not initialised: run `{self._command} init`."

    def refusals(self) -> Sequence[str]:
        """Find no fault with a folder that the steps put right."""
        return ()

    def steps(self) -> Sequence[Step]:
        """Make the folder."""
        return [Folder(host=self._host, path=self._home, owner=_NAME, mode=_PRIVATE)]

    def before_start(self) -> Sequence[Step]:
        """Give the account what a command of root's left behind."""
        return [GiveTree(host=self._host, path=self._home, owner=_NAME)]

    def lent(self) -> Sequence[Step]:
        """Lend nothing: all of it is the account's."""
        return ()

    def advice(self) -> Sequence[str]:
        """Say what a person does next."""
        if self.ready:
            return ["See whether it takes calls: `curl http://127.0.0.1:8080/readyz`."]
        return [
            (
                "The relay has no store yet. Next; the first command prints the administrator's "
                f"password and an API key, once:\n  {self._command} init\n"
                f"  {self._command} service start"
            )
        ]

    def farewell(self) -> Sequence[str]:
        """Say what is still to do elsewhere once all is removed."""
        return ["Agents that were enrolled here dial until they are unenrolled."] * self.ready

    def findings(self) -> Sequence[Finding]:
        """Read back whose the folder is."""
        wrong = [step for step in (*self.steps(), *self.before_start()) if step.needed]
        return [
            Finding(
                name="folder",
                status="FAIL" if wrong else "PASS",
                cause=(
                    f"{wrong[0].sentence}: that is still to do."
                    if wrong
                    else f"{self._home} is the account's alone."
                ),
                fix=f"Run `{self._command} service start`, which does it." if wrong else None,
            ),
            Finding(
                name="store",
                status="PASS" if self.ready else "WARN",
                cause="The relay was initialised." if self.ready else "There is no store yet.",
                fix=None if self.ready else f"Run `{self._command} init`.",
            ),
        ]


def _home(home: Path | None, before: str | None) -> Path:
    if home is None:
        return _STATE / _NAME if before is None else Path(before)
    home = home.absolute()
    unit_word(str(home), what="The folder")
    if hidden_from_services(home) or len(home.parts) < 3:
        raise ConfigurationError(
            f"A service cannot keep its data in {home}: leave out --data-dir for {_STATE / _NAME}."
        )
    return home


def _unit(home: Path, program: Path, flags: str) -> str:
    template = files("cloud_connect_relay.hosting").joinpath(f"{_NAME}.service")
    word = unit_word(str(program), what="The path of the program")
    paths = RelayPaths(data_dir=home)
    values: dict[str, str | None] = {
        # Either of them: a relay that lost the other one shall say so, and fail.
        "ConditionPathExists": f"|{paths.key_file}",
        "ConditionFileNotEmpty": f"|{paths.database}",
        "ExecStart": f"{word} serve --data-dir {home} {flags}",
    }
    added = {}
    if home.parent == _STATE:
        values["StateDirectory"] = home.name
    else:
        values |= {"StateDirectory": None, "StateDirectoryMode": None}
        added["ReadWritePaths"] = str(home)
    return render_unit(
        template.read_text("utf-8"),
        values=values,
        added=added,
        header=(
            "Written by `cloud-connect-relay service install`, which replaces it.\n"
            f"Changes of this machine's own belong into `systemctl edit {_NAME}`: they stay."
        ),
    )


_COMMAND: Final = """\
#!/bin/sh
# Written by `cloud-connect-relay service install`: the relay's commands, as the service's account
# and with its data. `service` runs as root.
[ "$(id -u)" = 0 ] || exec sudo -- "$0" "$@"
umask 077
program=@PROGRAM@
[ "${1-}" != service ] || exec "$program" "$@"
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
  TERM="${TERM-dumb}" LANG="${LANG-C.UTF-8}" CLOUD_CONNECT_COMMAND=@COMMAND@ \\
  runuser -u cloud-connect-relay -- "$program" --data-dir @HOME@ "$@"
"""
