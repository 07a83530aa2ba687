"""Asking what answers at the relay's address who it is, without a word about this PC's secrets."""

import asyncio
from collections.abc import Collection
from contextlib import suppress

import httpx

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.doctor.case import STEP_SECONDS, Case
from cloud_connect_agent.relay_api import RelayApi, RelayRefusedError

__all__ = ["ask_relay_who", "is_pinned"]


async def ask_relay_who(case: Case) -> Collection[bytes]:
    """Note what answers at the relay's API, and what its clock says.

    Returns:
        The digests of the relay's own certificates, as the pinned relay signed them; none, if it
        does not know them or is not the pinned one.
    """
    url, pinned = case.settings.relay.url, case.pinned
    if url is None or pinned is None or case.tls is None:
        return ()
    try:
        async with (
            asyncio.timeout(2 * STEP_SECONDS),
            RelayApi.open(
                url,
                tls=case.tls,
                proxy=await case.proxies.way(url),
                step_timeout=httpx.Timeout(STEP_SECONDS),
            ) as relay,
        ):
            case.proof = await relay.challenge(pinned.connector_id)
            case.clock_ahead = relay.clock_ahead
            if is_pinned(case):
                # An older relay does not know the question; its tunnel says it with the welcome.
                with suppress(RelayRefusedError):
                    return await relay.certificates(case.proof)
    except TimeoutError:
        case.api_fault = f"The relay at {url} does not answer in time."
    except CloudConnectError as exc:
        case.api_fault = exc.message
    return ()


def is_pinned(case: Case) -> bool:
    """Whether what answered proved to be the relay that this PC is enrolled at."""
    proof, pinned = case.proof, case.pinned
    return (
        proof is not None
        and pinned is not None
        and proof.holds_key
        and (proof.relay_id, proof.public_key) == (pinned.relay_id, pinned.relay_public_key)
    )
