"""The agent as a service of systemd: its names, its unit and the command that people type."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Final

from cloud_connect.errors import ConfigurationError
from cloud_connect.services.acts import RunCommand
from cloud_connect.services.host import Host, LocalHost
from cloud_connect.services.programs import this_program
from cloud_connect.services.systemd import SystemdService, Unit, free_command, installed_unit
from cloud_connect.services.trust import Program, hidden_from_services
from cloud_connect.services.units import render_unit, unit_word
from cloud_connect_agent.hosting.service import ServiceWish
from cloud_connect_agent.hosting.service_home import ServiceHome
from cloud_connect_agent.vault.credential import CREDENTIAL_NAME
from cloud_connect_agent.vault.keys import KeyKind

__all__ = ["systemd_service"]

_STATE: Final = Path("/var/lib")
_INSTANCE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?")
_OTHERS: Final = ("relay", "hosted", "service")  # cloud-connect-relay is another one, and so on
_SEED_BYTES: Final = 32
_HOME: Final = re.compile(r"^ExecStart=.* --home (?P<home>\S+) run$", re.MULTILINE)
_CREDENTIAL: Final = "\nLoadCredentialEncrypted="
_HOSTED: Final = "\nDescription=Cloud Connect hosted connector "


def systemd_service(
    wish: ServiceWish, *, host: Host | None = None, program: Program | None = None
) -> SystemdService:
    """Return the agent's service on a machine with systemd.

    Args:
        program: The installation that it runs; ``None`` for the one that runs now.

    Raises:
        ConfigurationError: If a name or a folder cannot be used.
    """
    host = LocalHost() if host is None else host
    program = this_program("cloud-connect", "cloud_connect_agent") if program is None else program
    name = _name(wish.instance)
    installed = installed_unit(host, name)
    home = _home(wish.home, name, installed)
    credential = Path("/etc") / f"{name}.vault-key"
    command = free_command(host, name)
    contents = ServiceHome(host=host, name=name, home=home, adopt=wish.adopt, command=command.name)
    kind = contents.vault_kind()
    sealed = _is_sealed(wish, host, kind, installed)
    hosted = wish.hosted or _HOSTED in installed
    return SystemdService(
        Unit(
            name=name,
            text=_unit(
                name,
                home,
                program=program.file,
                credential=credential if sealed else None,
                hosted=hosted,
            ),
            command=_command(
                name,
                home,
                typed=command.name,
                program=program.file,
                credential=credential if sealed else None,
            ),
            command_file=command,
            home=home,
            program=program,
            wanted=(_seal(host, credential),) if sealed and kind is None else (),
            kept=(credential,),
        ),
        contents,
        host=host,
        start=wish.start,
    )


def _name(instance: str | None) -> str:
    if instance is None:
        return "cloud-connect"
    if _INSTANCE.fullmatch(instance) is None:
        raise ConfigurationError(
            f"The name {instance!r} cannot be used: up to 16 lower-case letters, digits and inner "
            "hyphens, such as `site-2`."
        )
    if instance.split("-")[0] in _OTHERS:
        raise ConfigurationError(
            f"The name {instance!r} belongs to another service, cloud-connect-{instance}; take "
            "another one."
        )
    return f"cloud-connect-{instance}"


def _home(home: Path | None, name: str, installed: str) -> Path:
    if home is None:
        found = _HOME.search(installed)
        return _STATE / name if found is None else Path(found["home"])
    home = home.absolute()
    unit_word(str(home), what="The folder")
    if hidden_from_services(home) or len(home.parts) < 3:
        raise ConfigurationError(
            f"A service cannot keep its files in {home}: leave out --home for {_STATE / name}, and "
            f"say `--adopt {home}` if an enrolled agent has to move from there."
        )
    return home


def _is_sealed(wish: ServiceWish, host: Host, kind: KeyKind | None, installed: str) -> bool:
    """Whether the vault's key is a credential; a vault that is there stays with its kind."""
    if kind is not None:
        if wish.seal_vault == "yes" and kind is not KeyKind.SYSTEMD_CREDENTIAL:
            raise ConfigurationError(
                f"The vault that is there was made with another key ({kind}), and stays with it; "
                "unenrol, install with --seal-vault yes, and enrol again."
            )
        return kind is KeyKind.SYSTEMD_CREDENTIAL
    if wish.seal_vault == "auto":
        return _CREDENTIAL in installed if installed else host.has("systemd-creds")
    return wish.seal_vault == "yes"


def _seal(host: Host, credential: Path) -> RunCommand:
    import secrets

    return RunCommand(
        host=host,
        purpose=f"Seal a new key for the vault in {credential}, which only this machine opens",
        command=("systemd-creds", "encrypt", f"--name={CREDENTIAL_NAME}", "-", str(credential)),
        when=lambda: not host.at(credential).exists(),
        stdin=lambda: secrets.token_bytes(_SEED_BYTES),
    )


def _unit(name: str, home: Path, *, program: Path, credential: Path | None, hosted: bool) -> str:
    template = files("cloud_connect_agent.hosting").joinpath("cloud-connect.service")
    word = unit_word(str(program), what="The path of the program")
    on_home = f"{word} --home {unit_word(str(home), what='The folder')}"
    values: dict[str, str | None] = {
        "User": name,
        "Group": name,
        "ExecStart": f"{on_home} run",
        "ExecReload": f"{on_home} reload",
    }
    added: dict[str, str] = {}
    if name != "cloud-connect":
        what = "hosted connector" if hosted else "agent"
        values["Description"] = f"Cloud Connect {what} {name.removeprefix('cloud-connect-')}"
    if hosted:
        values["After"] = "network-online.target cloud-connect-relay.service"
        # The relay's data it cannot even see, and it must not starve others on this machine.
        added |= {"InaccessiblePaths": "-/var/lib/cloud-connect-relay", "MemoryMax": "1G"}
    if home.parent == _STATE:
        values["StateDirectory"] = f"{home.name}/state {home.name}/logs"
    else:
        values |= {"StateDirectory": None, "StateDirectoryMode": None}
        added["ReadWritePaths"] = f"{home}/state {home}/logs"
    if credential is not None:
        added["LoadCredentialEncrypted"] = f"{CREDENTIAL_NAME}:{credential}"
    return render_unit(
        template.read_text("utf-8"),
        values=values,
        added=added,
        header=(
            "Written by `cloud-connect service install`, which replaces it.\n"
            f"Changes of this machine's own belong into `systemctl edit {name}`: they stay."
        ),
    )


_COMMAND: Final = """\
#!/bin/sh
# Written by `cloud-connect service install`: the agent's commands, as the service's account and
# with its files. `service` and `policy` run as root, whose they are.
[ "$(id -u)" = 0 ] || exec sudo -- "$0" "$@"
umask 077
program=@PROGRAM@
as_seen_by_the_service() {
  exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    TERM="${TERM-dumb}" LANG="${LANG-C.UTF-8}" CLOUD_CONNECT_POLICY__OWNER=administrator \\
    CLOUD_CONNECT_HOME=@HOME@ CLOUD_CONNECT_COMMAND=@COMMAND@ "$@"
}
as_account() { as_seen_by_the_service runuser -u @NAME@ -- "$program" "$@"; }
@OPENING@
case "${1-}" in
  service)
    shift
    verb=${1-}
    [ $# -eq 0 ] || shift
    exec "$program" service ${verb:+"$verb"}@INSTANCE@ "$@" ;;
  status)
    if systemctl is-active --quiet @NAME@; then as_account "$@"; else with_vault "$@"; fi ;;
  policy) as_seen_by_the_service "$program" "$@" ;;
  enrol | enroll)
    (with_vault "$@") || exit
    case " $* " in *" --help "* | *" -h "*) exit ;; esac
    exec "$program" service start@INSTANCE@ >&2 ;;
  restore)
    # A policy that is there is root's: it is the account's while it is replaced, and no longer.
    trap : INT TERM
    "$program" service lend@INSTANCE@ || exit
    (with_vault "$@")
    ended=$?
    "$program" service take-back@INSTANCE@ || exit
    exit "$ended" ;;
  catalog | completion | config | journal | logs | monitor | pause | reload | requests | resume | \\
    wait)
    as_account "$@" ;;
  *) with_vault "$@" ;;
esac
"""

_WITH_CREDENTIAL: Final = """\
with_vault() {
  if [ -t 0 ] && [ -t 1 ]; then way=--pty; else way=--pipe; fi
  exec systemd-run --quiet "$way" --wait --collect --service-type=exec \\
    -p WorkingDirectory="-$PWD" --uid=@NAME@ --gid=@NAME@ -p UMask=0077 -p LimitCORE=0 \\
    -p LoadCredentialEncrypted=@CREDENTIAL@ --setenv=TERM="${TERM-dumb}" \\
    --setenv=LANG="${LANG-C.UTF-8}" --setenv=CLOUD_CONNECT_POLICY__OWNER=administrator \\
    --setenv=CLOUD_CONNECT_HOME=@HOME@ --setenv=CLOUD_CONNECT_COMMAND=@COMMAND@ \\
    -- "$program" "$@"
}"""


def _command(name: str, home: Path, *, typed: str, program: Path, credential: Path | None) -> str:
    opening = 'with_vault() { as_account "$@"; }' if credential is None else _WITH_CREDENTIAL
    instance = name.removeprefix("cloud-connect").removeprefix("-")
    text = _COMMAND.replace("@OPENING@", opening)
    for mark, value in (
        ("@PROGRAM@", str(program)),
        ("@NAME@", name),
        ("@HOME@", str(home)),
        ("@COMMAND@", typed),
        ("@CREDENTIAL@", f"{CREDENTIAL_NAME}:{credential}"),
        ("@INSTANCE@", f" --name {instance}" if instance else ""),
    ):
        text = text.replace(mark, value)
    return text
