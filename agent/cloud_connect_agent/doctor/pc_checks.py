"""What is on this PC: settings, enrolment, files, policy, version."""

import asyncio
import platform
import shlex
import ssl
import sys
from pathlib import Path
from typing import Final

from cloud_connect.errors import ConfigurationError
from cloud_connect.signing import SigningKey
from cloud_connect_agent.doctor.case import Case
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.findings import Finding, failed, not_checked, passed, warned
from cloud_connect_agent.ownership import check_folders
from cloud_connect_agent.policy import Effect
from cloud_connect_agent.policy.followed import ownership_warning
from cloud_connect_agent.policy_file import DatedPolicy, PolicyFile
from cloud_connect_agent.relay_address import RelayAddress
from cloud_connect_agent.version import VERSION

__all__ = [
    "check_enrolment",
    "check_files",
    "check_policy",
    "check_settings",
    "check_version",
]


_COMMANDS: Final = Path("/usr/local/bin")
_SERVICES: Final = Path("/var/lib")


async def check_settings(case: Case) -> Finding:
    """The settings can be read, and every one of them is known."""
    if case.fault is not None and case.settings_hidden:
        return not_checked("the files belong to another account, see files")
    if case.fault is not None:
        return failed(
            Code.SETTINGS_UNUSABLE,
            case.fault,
            f"Correct it in {case.paths.config_file}, or in the variable that it names.",
        )
    if not case.paths.config_file.exists():
        return passed("There is no agent.toml; the defaults hold.")
    return passed(f"{case.paths.config_file} is in order.")


async def check_enrolment(case: Case) -> Finding:
    """This PC belongs to a relay, and knows that relay's key."""
    relay = case.settings.relay
    if not relay.enrolled:
        return failed(
            Code.NOT_ENROLLED,
            "This PC belongs to no relay yet.",
            "Ask whoever runs the relay for a join token, and run `cloud-connect enrol --relay "
            "URL`. If it is enrolled under another folder or account, name the folder with --home.",
        )
    try:
        address = RelayAddress.of(
            relay, key=SigningKey.generate(), tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
    except ConfigurationError as exc:
        return failed(
            Code.ENROLMENT_DAMAGED,
            exc.message,
            "Ask for a new join token, and run `cloud-connect enrol --relay URL --force`.",
        )
    case.pinned = address.credentials
    name = f" as {case.settings.name}" if case.settings.name else ""
    return passed(f"Enrolled{name} ({relay.connector_id}) at {relay.url or relay.tunnel_url}.")


async def check_files(case: Case) -> Finding:
    """The folders belong to the account that runs the agent, and nobody else can write there."""
    owner = case.owner
    if owner is not None:
        name = _account_name(owner)
        # Who may not even read the settings has found out nothing, which is no success.
        found, what = (
            (failed, "into anything") if case.settings_hidden else (warned, "into the vault")
        )
        return found(
            Code.FILES_OF_ANOTHER,
            f"The agent's files belong to {name}, and this command runs as another account: it "
            f"cannot look {what}.",
            f"To have everything checked, run it as that account: `{_as_owner(case, name)}`.",
        )
    paths = case.paths
    try:
        await asyncio.to_thread(
            check_folders, paths.config_dir, private=(paths.state_dir, paths.log_dir)
        )
    except ConfigurationError as exc:
        return failed(
            Code.FILES_NOT_TRUSTED,
            exc.message,
            "The agent does not start until then.",
        )
    return passed("Settings, state and logs belong to the right account and are closed to others.")


async def check_policy(case: Case) -> Finding:
    """The policy can be used, is out of the agent's own reach, and allows something."""
    path = case.paths.policy_file
    if case.owner is not None:
        return _policy_of_daemon(case)
    administered = case.settings.policy.owner == "administrator"
    file = PolicyFile(path, administered=administered)
    policy = await asyncio.to_thread(file.current)
    if not isinstance(policy, DatedPolicy):
        problem = str(policy.summary()["problem"])
        if not path.exists():
            return warned(
                Code.NO_POLICY,
                problem,
                f"Write {path}, or restore it from a backup; docs/policy.md has examples.",
            )
        return failed(
            Code.POLICY_UNUSABLE, problem, "`cloud-connect policy show` checks it once corrected."
        )
    rules = policy.document.rules
    allowing = sum(rule.effect is Effect.ALLOW for rule in rules)
    if not allowing:
        return warned(
            Code.POLICY_ALLOWS_NOTHING,
            f"{path.name} has no rule that allows anything, so every call is refused.",
            "Add rules that allow what this PC shall do; docs/policy.md has examples.",
        )
    warning = None if administered else ownership_warning(path)
    if warning is not None:
        return warned(
            Code.POLICY_NOT_GUARDED,
            f"The policy works, but {warning.partition('. ')[0]}.",
            "For a service, give the file and its folder to root and set `[policy] owner = "
            '"administrator"`; for a trial on your own account nothing has to be done.',
        )
    counted = f"{allowing} rule{'' if allowing == 1 else 's'}"
    return passed(f"{path.name} is in order: {policy.summary()['class']}, {counted} allow calls.")


async def check_version(case: Case) -> Finding:
    """What runs is what is installed."""
    running = case.daemon.status.get("version")
    if running is not None and running != VERSION:
        return warned(
            Code.VERSIONS_DIFFER,
            f"Version {VERSION} is installed, and the agent that runs is still {running}.",
            "Restart the agent: `cloud-connect service restart`.",
        )
    return passed(
        f"Cloud Connect {VERSION}, Python {platform.python_version()}, {platform.system()} "
        f"{platform.release()}."
    )


def _as_owner(case: Case, name: str) -> str:
    """Return the command for the account; installing a service makes one that also has its key."""
    folder = case.paths.config_dir
    made = _COMMANDS / folder.name
    if folder.parent == _SERVICES and made.exists():
        return f"{made} doctor"
    account = "sudo" if name == "root" else f"sudo -u {name}"
    return f"{account} cloud-connect --home {shlex.quote(str(folder))} doctor"


def _account_name(uid: int) -> str:
    """Return how people call an account."""
    if sys.platform != "win32":
        import pwd

        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            pass
    return f"account number {uid}"


def _policy_of_daemon(case: Case) -> Finding:
    """Report what the running agent says: whose the file must be depends on its account."""
    told = case.daemon.status.get("policy")
    if not isinstance(told, dict):
        return not_checked("the files belong to another account, see files")
    if told.get("problem"):
        return failed(
            Code.POLICY_UNUSABLE,
            str(told["problem"]),
            "`cloud-connect policy show` checks it once corrected.",
        )
    return passed(f"The running agent uses it: {told.get('class')}, {told.get('rules')} rules.")
