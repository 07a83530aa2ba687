"""The vault: what keeps its key, whether it opens, and whether what is inside can be read."""

import asyncio
from typing import Final

from cloud_connect.errors import ConfigurationError, VaultLockedError
from cloud_connect_agent.doctor.case import Case, DaemonState
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.findings import Finding, failed, not_checked, passed, warned
from cloud_connect_agent.identity import AgentKeys
from cloud_connect_agent.procore.grants.accounts import AccountBook
from cloud_connect_agent.procore.tokens import app_secret_name, token_secret_name
from cloud_connect_agent.vault import DamagedSecretError, KeyKind, describe_vault

__all__ = ["check_vault"]

_ENROL_AGAIN: Final = (
    "Restore the state folder from a backup, or ask for a join token and run `cloud-connect enrol "
    "--relay URL --force`."
)


async def check_vault(case: Case) -> Finding:
    """The vault opens, and each secret in it can be read."""
    if case.owner is not None:
        return not_checked("the files belong to another account, see files")
    try:
        found = await asyncio.to_thread(describe_vault, case.paths)
        if case.vault is None:
            return _shut(case, case.vault_fault or "The vault cannot be opened.")
        if found is None:
            return _none(case)
        key = await AgentKeys(case.vault).load() if case.settings.relay.enrolled else None
        await _read_grants(case)
    except DamagedSecretError as exc:
        return failed(
            Code.SECRET_DAMAGED,
            exc.message,
            "If it is Procore's, run `cloud-connect procore app` and `procore login` again; if it "
            "is the PC's identity, restore a backup or enrol again with --force.",
        )
    except VaultLockedError as exc:
        kept = KeyKind(str(found["key"])) if found is not None else None
        if kept is KeyKind.SYSTEMD_CREDENTIAL and case.settings.vault.credentials_dir is None:
            return _with_service(case)
        return _shut(case, exc.message)
    except ConfigurationError as exc:
        return failed(Code.NO_VAULT, exc.message, _ENROL_AGAIN)
    case.key, case.opened = key, True
    if found["warning"]:
        return warned(
            Code.KEY_IN_FILE,
            "The vault opens, but its key is a file beside it: root, and whoever copies this "
            "account's files, can open it.",
            "On a server with systemd, a credential binds the key to this machine (docs/agent.md, "
            "Secrets). Nothing is broken.",
        )
    return passed(f"The vault opens: {found['description']}.")


async def _read_grants(case: Case) -> None:
    assert case.vault is not None  # noqa: S101 - the caller looked
    for account in AccountBook(lambda: case.settings.procore.environments).all():
        for name in (app_secret_name(account), token_secret_name(account)):
            await case.vault.get(name)


def _none(case: Case) -> Finding:
    if not case.settings.relay.enrolled:
        return not_checked("it is made when this PC enrols")
    return failed(Code.NO_VAULT, "This PC is enrolled, and its vault is gone.", _ENROL_AGAIN)


def _shut(case: Case, reason: str) -> Finding:
    del case
    return failed(
        Code.VAULT_SHUT,
        reason,
        "Run the command as the account that runs the agent; if that does not open it either, "
        f"its key is lost. {_ENROL_AGAIN}",
    )


def _with_service(case: Case) -> Finding:
    """The key is handed to the service alone, which is as it should be."""
    runs = case.daemon.state is DaemonState.RUNNING
    return warned(
        Code.KEY_WITH_SERVICE,
        "Only the service gets the key of the vault (a credential of systemd), so this command "
        "cannot open it" + (": the agent that runs has." if runs else "."),
        "To look inside, run the command as the service would, with `systemd-run` (docs/agent.md, "
        "Secrets). Nothing is broken.",
    )
