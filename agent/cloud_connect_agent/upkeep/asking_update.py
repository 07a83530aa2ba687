"""Whether the relay's operator recommends another version; asked by people, acted on by people."""

import re
import secrets
import ssl
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from cloud_connect.handshake_messages import update_transcript
from cloud_connect.signing import NONCE_BYTES, SignatureBytes, to_text, verify_signature
from cloud_connect_agent.proxies import Proxy
from cloud_connect_agent.relay_api import (
    RelayAnswer,
    RelayApi,
    RelayRefusedError,
    read_answer,
    refusal_in,
)

__all__ = ["Recommended", "ask_update", "is_newer"]

_VERSION: Final = re.compile(r"\d{1,6}(\.\d{1,6}){1,3}", re.ASCII)
_NUMBERS: Final = re.compile(r"\d{1,6}", re.ASCII)


class _Answer(RelayAnswer):
    latest: str = Field(max_length=40, pattern=r"^(\d{1,6}(\.\d{1,6}){1,3})?$")
    notes: str = Field(default="", max_length=600, pattern=r"^(https://[!-~]+)?$")
    signature: SignatureBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """What the relay's operator wrote.

    Attributes:
        latest: The version; ``None`` if the operator names none.
        notes: Where a person reads about it.
    """

    latest: str | None
    notes: str | None


async def ask_update(
    url: str, *, relay_id: str, relay_key: bytes, tls: ssl.SSLContext, proxy: Proxy | None = None
) -> Recommended:
    """Return what the pinned relay recommends.

    Raises:
        RelayUnreachableError: If no relay answers at *url* in time.
        RelayRefusedError: If what answers is another one, or knows of no recommendations.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    async with RelayApi.open(url, tls=tls, proxy=proxy) as relay:
        answer = await relay.post("/api/enrol/update", json={"agent_nonce": to_text(nonce)})
    if answer.status_code in {404, 405}:
        raise RelayRefusedError(
            f"The relay at {url} is of a version that recommends none; ask its operator."
        )
    if answer.status_code != 200:
        raise refusal_in(answer, f"The relay at {url} does not say which version is the newest.")
    told = read_answer(_Answer, answer)
    transcript = update_transcript(
        relay_id=relay_id, agent_nonce=nonce, latest=told.latest, notes=told.notes
    )
    if not verify_signature(relay_key, told.signature, transcript):
        raise RelayRefusedError(
            f"{url} could not prove that it is the relay this PC is enrolled at."
        )
    return Recommended(latest=told.latest or None, notes=told.notes or None)


def is_newer(latest: str, installed: str) -> bool | None:
    """Whether *latest* comes after *installed*; ``None`` if the latter is no released version."""
    if not _VERSION.fullmatch(installed):
        return None
    return _numbers(latest) > _numbers(installed)


def _numbers(text: str) -> list[int]:
    numbers = [int(one) for one in _NUMBERS.findall(text)]
    while numbers and not numbers[-1]:  # 1.2 is 1.2.0
        numbers.pop()
    return numbers
