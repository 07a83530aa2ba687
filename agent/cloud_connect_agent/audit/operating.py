"""What people do on this PC, recorded: over the control socket, to files that are theirs."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.audit.exchange import CheckpointExchange
from cloud_connect_agent.audit.trail import AuditTrail

__all__ = ["RecordedControl", "watch_files"]

_WATCH_SECONDS: Final = 2.0
_MAX_FILE_BYTES: Final = 1024 * 1024
_ACTION: Final = re.compile(r"[a-z_]{1,32}\.[a-z_]{1,32}", re.ASCII)
_MAX_FACTS: Final = 16
_MAX_FACT_CHARACTERS: Final = 500
_PERSON: Final = "administrator"  # whoever may use the socket: this account, or root
_RECORDED: Final = {
    "pause": "agent.paused",
    "resume": "agent.resumed",
    "reload": "agent.reloaded",
    "drain": "agent.drained",
    "rotate_key": "agent.key_announced",
}

Control: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class RecordedControl:
    """Answers the control socket, and records what changes something.

    Args:
        answer: Does what is asked for.
    """

    def __init__(self, answer: Control, trail: AuditTrail, exchange: CheckpointExchange) -> None:
        self._answer: Final = answer
        self._trail: Final = trail
        self._exchange: Final = exchange

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what one request asks for.

        Raises:
            CloudConnectError: If it cannot be done.
        """
        command = str(request.get("command"))
        if command == "audit-event":
            self._note(request)
            return {}
        if command == "audit-exchange":
            said = await self._exchange.now()
            return {"said": None if said is None else said.model_dump(mode="json")}
        if command == "audit-accept":
            return await self._accept(request)
        done = await self._answer(request)
        if command == "status" and isinstance(done.get("status"), dict):
            done["status"]["audit"] = self._trail.document()
        elif command in _RECORDED:
            seconds = request.get("seconds")
            length = int(seconds) if isinstance(seconds, int | float) else None
            self._trail.event(_RECORDED[command], {"seconds": length}, actor=_PERSON)
        return done

    async def _accept(self, request: Mapping[str, Any]) -> dict[str, Any]:
        reason = request.get("reason")
        if not isinstance(reason, str) or not reason.strip():
            raise CloudConnectError("Say why, in a sentence.")
        accepted = await self._exchange.accept(reason.strip()[:_MAX_FACT_CHARACTERS])
        return {"accepted": [one.model_dump(mode="json") for one in accepted]}

    def _note(self, request: Mapping[str, Any]) -> None:
        """Record what a command did that works without the agent."""
        action, facts = request.get("action"), request.get("facts")
        known = isinstance(action, str) and _ACTION.fullmatch(action)
        if not known or not isinstance(facts, dict) or len(facts) > _MAX_FACTS:
            raise CloudConnectError("This is no event for the audit log.")
        told = {
            str(name)[:32]: value if isinstance(value, int) else str(value)[:_MAX_FACT_CHARACTERS]
            for name, value in facts.items()
            if value is not None
        }
        self._trail.event(str(action), told, actor=_PERSON)


async def watch_files(trail: AuditTrail, files: Mapping[str, Path]) -> None:
    """Record which of the administrator's files hold, and each change of one, until cancelled.

    Args:
        files: By the word that stands for each, such as ``policy``.
    """
    known: dict[str, tuple[int, int, int] | None] = dict.fromkeys(files)
    while True:
        for word, path in files.items():
            seen = await asyncio.to_thread(_signature, path)
            if seen != known[word]:
                known[word] = seen
                digest = await asyncio.to_thread(_digest, path)
                trail.event(f"{word}.loaded" if digest else f"{word}.missing", {"sha256": digest})
        await asyncio.sleep(_WATCH_SECONDS)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(_MAX_FILE_BYTES)).hexdigest()
    except OSError:
        return None
