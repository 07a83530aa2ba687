"""The relay: this PC's clock against its, whether it is the pinned one, and its tunnel."""

import asyncio

from websockets.exceptions import ConnectionClosed

from cloud_connect.handshake_messages import Challenge, HandshakeError
from cloud_connect_agent.dialling import dial
from cloud_connect_agent.doctor.case import STEP_SECONDS, Case
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.findings import Finding, failed, not_checked, passed, warned
from cloud_connect_agent.doctor.relay_question import is_pinned
from cloud_connect_agent.durations import lasting
from cloud_connect_agent.health import SKEW_SECONDS
from cloud_connect_agent.reaching import DialError
from cloud_connect_agent.settings import TunnelSettings

__all__ = ["check_clock", "check_relay", "quick"]

_WRONG_SECONDS = 300.0  # beyond that certificates, tokens and the audit log's times go wrong


async def check_clock(case: Case) -> Finding:
    """This PC's clock and the relay's agree."""
    measured = case.daemon.status.get("clock_skew_seconds") if case.daemon.connected else None
    ahead = measured if isinstance(measured, int | float) else case.clock_ahead
    if ahead is None:
        return not_checked("the relay did not say what time it is")
    word = "ahead of" if ahead > 0 else "behind"
    cause = f"This PC's clock is {lasting(abs(ahead))} {word} the relay's."
    fix = "Have this PC take the time from a time server (NTP, or Windows' time service)."
    if abs(ahead) > _WRONG_SECONDS:
        return failed(Code.CLOCK_WRONG, cause, fix)
    if abs(ahead) > SKEW_SECONDS:
        return warned(Code.CLOCK_OFF, cause, fix)
    return passed("This PC's clock and the relay's agree.")


async def check_relay(case: Case) -> Finding:
    """What answers is the relay that this PC is enrolled at, and it has a tunnel."""
    if case.proof is not None and not is_pinned(case):
        return _other(case)
    try:
        found = await _challenge(case)
    except DialError as exc:
        if case.api_fault is not None:
            return failed(
                Code.NO_RELAY,
                case.api_fault,
                "Ask whoever runs the relay whether it runs, and whether relay.url and "
                "relay.tunnel_url in agent.toml are its addresses.",
            )
        return failed(
            Code.NO_TUNNEL,
            f"{exc.message} The tunnel's address is {case.tunnel_url}.",
            "The relay itself answers, so ask whoever runs it: its tunnel may have moved, or a "
            "proxy in front of it passes no WebSocket on.",
        )
    if found is not None and case.pinned is not None and found.relay_id != case.pinned.relay_id:
        return _other(case)
    if case.api_fault is not None:
        return warned(
            Code.NO_API,
            f"The tunnel answers, but not the relay's other address: {case.api_fault}",
            "Calls come through; changing keys and leaving the relay do not work. Check relay.url "
            "in agent.toml, and that the firewall lets this PC there.",
        )
    return passed("What answers proved to be the relay that this PC is enrolled at.")


def quick(settings: TunnelSettings) -> TunnelSettings:
    """Return the settings of a dial that a person waits for."""
    return settings.model_copy(
        update={"connect_timeout": STEP_SECONDS, "upgrade_timeout": STEP_SECONDS}
    )


async def _challenge(case: Case) -> Challenge | None:
    """Open the tunnel as far as the relay's first word; ``None`` if that is none."""
    assert case.tls is not None  # noqa: S101 - the check before made it
    try:
        async with (
            asyncio.timeout(2 * STEP_SECONDS),
            dial(
                case.tunnel_url,
                tls=case.tls,
                settings=quick(case.settings.tunnel),
                proxy=case.proxy,
            ) as link,
        ):
            return Challenge.read(await link.recv())
    except TimeoutError:
        raise DialError("The relay's tunnel does not say a word.") from None
    except ConnectionClosed:
        raise DialError("The relay's tunnel hangs up at once.") from None
    except HandshakeError:
        raise DialError("What answers there is no relay's tunnel.") from None


def _other(case: Case) -> Finding:
    return failed(
        Code.OTHER_RELAY,
        f"What answers at {case.settings.relay.url or case.tunnel_url} could not prove that it is "
        "the relay that this PC is enrolled at. This PC tells it nothing.",
        "Ask whoever runs the relay: if it was set up anew, enrol again with a new join token "
        "(`cloud-connect enrol --relay URL --force`); if not, somebody pretends to be it.",
    )
