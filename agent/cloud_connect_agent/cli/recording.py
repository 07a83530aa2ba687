"""Recording what a command does in the audit log, beside a running agent or without one."""

import os
import time

from cloud_connect_agent.cli.terminal import note
from cloud_connect_agent.control import AgentNotRunningError, ask
from cloud_connect_agent.own_account import own_uid
from cloud_connect_agent.paths import AgentPaths

__all__ = ["record_event"]

_LOCK_SECONDS = 5.0  # another command appends for less


def record_event(paths: AgentPaths, action: str, **facts: str | int | None) -> None:
    """Record that somebody at this PC did something, such as ``procore.signed_in``.

    A log that cannot be written is told, and stops nobody: the agent refuses writes then.
    """
    from cloud_connect.audit import record_time
    from cloud_connect.errors import CloudConnectError
    from cloud_connect.file_lock import FileInUseError
    from cloud_connect_agent.audit import AuditFolder, AuditWriter

    known = {name: value for name, value in facts.items() if value is not None}
    try:
        ask(paths.control_socket, {"command": "audit-event", "action": action, "facts": known})
    except AgentNotRunningError:
        if not _is_ours(paths):
            note("The audit log belongs to another account, and its agent does not run: no record.")
            return
        record = {
            "time": record_time(time.time()),
            "actor": "administrator",
            "action": action,
            **({"detail": known} if known else {}),
        }
        try:
            with AuditWriter.open(
                AuditFolder(paths.audit_dir), lock_timeout=_LOCK_SECONDS
            ) as writer:
                writer.append(record)
                writer.sync()
        except (OSError, FileInUseError) as exc:
            note(f"The audit log could not be written: {exc}.")
    except CloudConnectError as exc:
        note(f"The audit log was not written: {exc.message}")


def _is_ours(paths: AgentPaths) -> bool:
    """Whether files that this account makes are ones that the agent can append to."""
    if os.name != "posix" or not paths.state_dir.exists():
        return True
    return paths.state_dir.stat().st_uid == own_uid()
