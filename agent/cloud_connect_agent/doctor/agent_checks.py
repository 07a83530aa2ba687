"""This PC as the relay knows it: its key, and the session of the agent that runs."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

from websockets.exceptions import ConnectionClosed

from cloud_connect.closing import CloseCode
from cloud_connect.errors import ConfigurationError
from cloud_connect.file_lock import FileInUseError, file_lock
from cloud_connect.handshake import AgentHandshake
from cloud_connect.handshake_messages import HandshakeError
from cloud_connect_agent.close_reasons import REASONS
from cloud_connect_agent.dialling import certificate_hash, dial
from cloud_connect_agent.doctor.case import STEP_SECONDS, Case, DaemonState
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.findings import Finding, failed, not_checked, passed, warned
from cloud_connect_agent.doctor.relay_checks import quick
from cloud_connect_agent.identity import Generation
from cloud_connect_agent.reaching import DialError

__all__ = ["check_key", "check_session"]

_ENROL: Final = (
    "Ask for a join token and run `cloud-connect enrol --relay URL --force`; the policy stays."
)
_REFUSALS: Final[Mapping[int, tuple[Code, str, str]]] = {
    CloseCode.UNAUTHORIZED: (
        Code.KEY_UNKNOWN,
        "The relay does not know this connector or its key.",
        f"The connector was deleted there, or these files are older than its last key. {_ENROL}",
    ),
    CloseCode.REVOKED: (
        Code.KEY_REVOKED,
        "The relay's administrator has revoked this connector.",
        f"Ask why. To use this PC again: {_ENROL}",
    ),
    CloseCode.AWAITING_APPROVAL: (
        Code.KEY_WAITS,
        "The connector waits for an administrator of the relay to approve it.",
        "Ask whoever runs the relay to approve it under Connectors; nothing has to be done here.",
    ),
    CloseCode.CLONE_SUSPECTED: (
        Code.KEY_COPIED,
        "The relay suspects that this PC's identity is in use twice (a copied or restored disk).",
        (
            "On the PC that was copied, have the relay's administrator let it recover; on the "
            "copy, run `cloud-connect reset --new-identity`."
        ),
    ),
    CloseCode.UNSUPPORTED_VERSION: (
        Code.KEY_VERSION,
        "The relay does not speak this agent's version of the protocol.",
        "Update the older of the two.",
    ),
    CloseCode.INTERCEPTED: (
        Code.INTERCEPTED,
        "The relay says that a proxy in between reads the traffic.",
        (
            "Ask whoever runs the proxy for an exception for the relay's name. If you accept that "
            "it reads the calls, set relay.allow_intercepted = true in agent.toml."
        ),
    ),
}


async def check_key(case: Case) -> Finding:
    """The relay knows this PC's key and would let it in."""
    match case.daemon.state:
        case DaemonState.RUNNING:
            return _as_daemon_was_told(case)
        case DaemonState.STOPPED:
            return await _introduce(case)
        case _:
            return not_checked("an agent has these files, and cannot be asked")


async def check_session(case: Case) -> Finding:
    """The agent runs, is connected, and has nothing to complain of."""
    match case.daemon.state:
        case DaemonState.STOPPED:
            return warned(
                Code.AGENT_STOPPED,
                "The agent does not run on this PC, so the relay lists it as offline.",
                "Start it: `cloud-connect service start`, or `cloud-connect run` to watch it.",
            )
        case DaemonState.FOREIGN:
            return not_checked("this account may not ask the agent, see files")
        case DaemonState.SILENT:
            return failed(
                Code.AGENT_SILENT,
                "An agent runs on this PC and does not answer.",
                "Restart it: `cloud-connect service restart`. `cloud-connect logs` says what it "
                "did last.",
            )
        case DaemonState.RUNNING:
            return _session_of(case.daemon.status)


def _session_of(status: Mapping[str, Any]) -> Finding:
    if not status["connected"]:
        reason = status["error"] or "it is still dialling"
        return failed(
            Code.AGENT_OFFLINE,
            f"The agent runs and is {status['state']}: {reason}",
            "Do first what the checks above say. If all of them pass, the agent gets through with "
            "its next dial, within a minute; else look into `cloud-connect logs`.",
        )
    if status["paused"]:
        return warned(
            Code.AGENT_PAUSED,
            "The agent is connected, and somebody at this PC has paused it: it takes no calls.",
            "Take calls again with `cloud-connect resume`.",
        )
    if status["problems"]:
        return warned(
            Code.AGENT_TROUBLED,
            f"The agent is connected, and says: {' '.join(status['problems'])}",
            "Do what it says; `cloud-connect status` shows it again.",
        )
    trip = status["last_round_trip_ms"]
    measured = f", {trip:.0f} ms to the relay and back" if trip is not None else ""
    return passed(f"Connected since {status['since']}{measured}.")


def _as_daemon_was_told(case: Case) -> Finding:
    status = case.daemon.status
    if status["connected"]:
        return passed(f"The relay knows this PC's key ({status['key_id']}).")
    if status["state"] == "revoked":
        return failed(*_REFUSALS[CloseCode.REVOKED])
    for code, refusal in _REFUSALS.items():
        if status["error"] == REASONS.get(CloseCode(code)):
            return failed(*refusal)
    return not_checked("the agent that runs has not come so far, see session")


async def _introduce(case: Case) -> Finding:
    """Do the handshake up to its last step, which alone would change something at the relay."""
    if case.key is None or case.pinned is None or case.tls is None:
        return not_checked("the vault gives no key, see vault")
    with ExitStack() as stack:
        try:
            # An agent that began meanwhile would look like a copy of this PC, or this PC of it.
            stack.enter_context(file_lock(case.paths.run_lock_file))
            generation = await Generation(case.paths.generation_file).read()
        except FileInUseError:
            return not_checked("an agent is just starting; run the command again")
        except OSError as exc:
            return not_checked(f"the state folder cannot be used ({exc.strerror})")
        except ConfigurationError as exc:
            return failed(Code.KEY_MISSING, exc.message, _ENROL)
        try:
            await _shake_hands(case, generation)
        except HandshakeError as exc:
            return _refused(exc.close_code, exc.message)
        except ConnectionClosed as exc:
            code = exc.rcvd.code if exc.rcvd is not None else None
            return _refused(code, "The relay hung up.")
        except TimeoutError:
            return not_checked("the relay does not answer the handshake in time")
        except DialError as exc:
            return not_checked(exc.message.rstrip(".").lower())
    return passed(f"The relay knows this PC's key ({case.key.key_id}).")


async def _shake_hands(case: Case, generation: int) -> None:
    assert case.pinned is not None  # noqa: S101 - the caller looked
    assert case.tls is not None  # noqa: S101
    assert case.key is not None  # noqa: S101
    async with (
        asyncio.timeout(2 * STEP_SECONDS),
        dial(
            case.tunnel_url, tls=case.tls, settings=quick(case.settings.tunnel), proxy=case.proxy
        ) as link,
    ):
        handshake = AgentHandshake(
            replace(case.pinned, key=case.key),
            generation=generation,
            certificate_hash=certificate_hash(link),
            allow_intercepted=case.settings.relay.allow_intercepted,
        )
        await link.send(handshake.receive_challenge(await link.recv()))
        handshake.receive_welcome(await link.recv())


def _refused(code: int | None, otherwise: str) -> Finding:
    known = _REFUSALS.get(code) if code is not None else None
    return failed(*known) if known is not None else not_checked(otherwise.rstrip(".").lower())
