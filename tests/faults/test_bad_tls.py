"""Eight peers whose TLS must not be trusted: none hears anything from relay dial to Procore."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import httpx
import pytest

from cloud_connect.errors import CloudConnectError
from cloud_connect.join_token import JoinToken
from cloud_connect_agent.dialling import dial
from cloud_connect_agent.procore.transport import Origin, Timeouts, describe_failure
from cloud_connect_agent.settings import TunnelSettings
from cloud_connect_agent.tls import client_context
from doubles.certificates import Authority
from doubles.enrolling_pc import MACHINE, RELAY_KEY, Pc
from doubles.tls_peer import TlsPeer, self_signed, tls_peer

pytestmark = pytest.mark.timeout(60)

CANARY: Final = b"canary-of-procore"
TOKEN: Final = JoinToken.make(token_id="jt_canary", relay_public_key=RELAY_KEY.public_key)
WEAK: Final = "ALL:@SECLEVEL=0"
QUICK: Final = httpx.Timeout(5.0)


def options_of(pair: tuple[Path, Path]) -> tuple[str, ...]:
    return ("-cert", str(pair[0]), "-key", str(pair[1]))


async def peers(folder: Path, authority: Authority) -> dict[str, tuple[str, ...]]:
    """The options of each peer; ``good`` shows that what is sent would be seen."""

    def issued(host: str, *, by: Authority = authority, expired: bool = False) -> tuple[str, ...]:
        place = folder / f"{host}-{id(by)}-{expired}"
        place.mkdir()
        return options_of(by.issue(place, host, expired=expired))

    good = issued("localhost")
    return {
        "good": good,
        "wrong authority": issued("localhost", by=Authority.make()),
        "wrong name": issued("elsewhere"),
        "expired": issued("localhost", expired=True),
        "self-signed": (*await self_signed(folder),),
        "TLS 1.0": (*good, "-tls1", "-cipher", WEAK),
        "TLS 1.1": (*good, "-tls1_1", "-cipher", WEAK),
        "no encryption": (*good, "-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"),
        "anonymous": ("-nocert", "-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"),
    }


async def dialled(peer: TlsPeer, ca_file: Path) -> str:
    url = f"wss://localhost:{peer.port}/tunnel"
    settings = TunnelSettings(upgrade_timeout=1.0)
    try:
        async with dial(url, tls=client_context(ca_file), settings=settings):
            return ""
    except CloudConnectError as exc:
        return exc.message


async def enrolled(peer: TlsPeer, ca_file: Path) -> str:
    folder = ca_file.parent / f"pc-{peer.port}"
    folder.mkdir(exist_ok=True)
    enroller = Pc(folder).enroller(
        f"https://localhost:{peer.port}",
        tls=client_context(ca_file),
        step_timeout=httpx.Timeout(2.0),
    )
    try:
        await enroller.enrol(TOKEN.reveal(), MACHINE)
    except CloudConnectError as exc:
        return exc.message
    return ""


async def asked(peer: TlsPeer, ca_file: Path, *, method: str) -> str:
    """A read of Procore over its pool, or a write over a connection of its own."""
    origin = Origin(
        f"https://localhost:{peer.port}",
        client_context(ca_file),
        timeouts=Timeouts(connect_timeout=5.0, stall_timeout=1.0),
    )
    headers = ((b"authorization", b"Bearer " + CANARY),)
    try:
        answer = await origin.send(method, b"/rest/x", headers=headers, reuse=method == "GET")
        await answer.aclose()
    except httpx.TransportError as exc:
        return describe_failure(exc, origin.host)
    finally:
        await origin.aclose()
    return ""


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[tuple[dict[str, TlsPeer], Path]]:
    authority = Authority.make()
    async with AsyncExitStack() as stack:
        opened = {
            name: await stack.enter_async_context(tls_peer(tmp_path, name, *options))
            for name, options in (await peers(tmp_path, authority)).items()
        }
        yield opened, authority.trusted(tmp_path)


@pytest.mark.catalogue("T31")
async def test_peer_with_bad_tls_is_refused_and_hears_nothing(
    running: tuple[dict[str, TlsPeer], Path],
) -> None:
    opened, ca_file = running
    sentences: dict[str, list[str]] = {}

    async def try_all(name: str, peer: TlsPeer) -> None:
        sentences[name] = [
            await dialled(peer, ca_file),
            await enrolled(peer, ca_file),
            await asked(peer, ca_file, method="GET"),
            await asked(peer, ca_file, method="POST"),
        ]

    async with asyncio.TaskGroup() as tasks:
        for name, peer in opened.items():
            tasks.create_task(try_all(name, peer))

    good = opened.pop("good")
    for sent in (b"GET /tunnel", b"/api/enrol/challenge", b"jt_canary", b"GET /rest/x", CANARY):
        assert sent in good.received, "the capture sees what a good peer is sent"
    assert "upgrade" in sentences.pop("good")[0]

    refused = 0
    for name, peer in opened.items():
        for sent in (b"HTTP/1.1", b"jt_canary", TOKEN.reveal().encode(), CANARY):
            assert sent not in peer.received, name
        assert all(sentences[name]), name
        for sentence in sentences[name]:
            assert "TLS" in sentence or "certificate" in sentence or "secure" in sentence, sentence
        refused += 1
    print(f"T31: {refused} of 8 refused")  # noqa: T201
    assert refused == 8
