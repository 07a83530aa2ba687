"""Guessing keys and passwords, and credentials of a kind that the relay does not have."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from cloud_connect.errors import QuotaExceededError
from cloud_connect_relay.credentials import Credential, CredentialKind
from cloud_connect_relay.passwords import Passwords
from doubles.hammer import hammer
from doubles.relay_node import PASSWORD, Node, running_node
from doubles.timed_refusals import assert_time_tells_nothing

GUESSES = 1000
PAIRS = 250
NOTICEABLE = 0.001  # seconds; far above the microseconds that a comparison could tell


def guesses(key: str) -> tuple[str, str]:
    """A key that does not exist, and one that does with another secret."""
    wrong = Credential.new(CredentialKind.API_KEY).reveal().rsplit("_", 1)[1]
    return Credential.new(CredentialKind.API_KEY).reveal(), f"{key.rsplit('_', 1)[0]}_{wrong}"


async def sign_in(
    caller: httpx.AsyncClient, password: str, *, username: str = "admin"
) -> httpx.Response:
    form = {"grant_type": "password", "username": username, "password": password}
    return await caller.post("/Token", data=form, timeout=60)


@asynccontextmanager
async def elsewhere(node: Node) -> AsyncIterator[httpx.AsyncClient]:
    """A caller at another address."""
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(
        base_url=node.addresses.api_url, transport=transport, trust_env=False
    ) as caller:
        yield caller


@pytest.mark.catalogue("T81")
@pytest.mark.timeout(180)
async def test_guesses_of_keys_are_stopped_and_tell_nothing(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, elsewhere(node) as other:
        seen: list[tuple[int, bytes]] = []
        async with hammer(node.addresses.api_url, {}) as caller:
            for number in range(GUESSES // 2):
                path = "/api/connectors" if number % 2 else "/metrics"
                for guess in guesses(node.store.api_key):
                    hit = await caller.get(path, authorization=f"Bearer {guess}")
                    seen.append((hit.status, hit.body))
        assert [status for status, _ in seen[:10]] == [401] * 10
        assert {status for status, _ in seen[10:]} == {429}
        assert len({body for _, body in seen[:10]}) == 1
        assert len({body for _, body in seen[10:]}) == 1
        unknown, wrong = guesses(node.store.api_key)
        stopped = await node.api.get("/metrics", headers=node.auth(wrong))
        assert 1 <= int(stopped.headers["retry-after"]) <= 60
        assert (await node.api.get("/api/connectors")).status_code == 200, "a key is no guess"
        assert (await other.get("/metrics", headers=node.auth(unknown))).status_code == 401
        right = await other.get("/api/connectors", headers=node.auth(node.store.api_key))
        assert right.status_code == 200


@pytest.mark.catalogue("T81")
@pytest.mark.timeout(180)
async def test_time_does_not_tell_an_unknown_key_from_a_wrong_secret(tmp_path: Path) -> None:
    async with (
        running_node(tmp_path, auth={"failures_per_minute": 100_000}) as node,
        hammer(node.addresses.api_url, {}) as caller,
    ):

        async def ask(guess: str) -> float:
            hit = await caller.get("/api/connectors", authorization=f"Bearer {guess}")
            assert hit.status == 401
            return hit.seconds

        kinds = guesses(node.store.api_key)
        await assert_time_tells_nothing(ask, kinds, within=NOTICEABLE, rounds=PAIRS)


@pytest.mark.catalogue("T81")
async def test_passwords_that_are_guessed_at_once_are_not_looked_at_all(tmp_path: Path) -> None:
    """None has failed when all are asked; each is counted before the next is looked at."""
    auth = {"failures_per_minute": 3}
    async with running_node(tmp_path, auth=auth) as node, elsewhere(node) as other:
        users = node.store.storage.of(node.store.subscription_id).users
        (admin,) = await users.all()
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
        await users.rehash(admin.id, before=admin.password_hash, after=cheap)
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(sign_in(node.api, f"guess {n}")) for n in range(20)]
        statuses = [task.result().status_code for task in asked]
        assert set(statuses) == {400, 429}
        assert 3 <= statuses.count(400) <= 4, "one may be looked at beside the last that counts"
        stopped = await sign_in(node.api, PASSWORD)
        assert stopped.status_code == 429
        assert int(stopped.headers["retry-after"]) <= 60
        signed_in = await sign_in(other, PASSWORD)
        assert signed_in.status_code == 200, "nobody is locked out by another's guesses"
        (admin,) = await users.all()
        assert admin.password_hash != cheap, "hashed anew, as passwords are hashed today"
        assert "m=65536,t=3,p=4" in admin.password_hash


@pytest.mark.catalogue("T81")
async def test_right_password_is_no_use_once_its_address_has_failed_meanwhile() -> None:
    passwords = Passwords()
    stored = await passwords.hash(PASSWORD)
    assert await passwords.matches(PASSWORD, stored)
    failed = False

    def permit() -> None:
        if failed:
            raise QuotaExceededError("too many")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):  # both places are taken, so that the guess waits
            tasks.create_task(passwords.hash("another"))
        guess = tasks.create_task(_is_refused(passwords, stored, permit))
        for _ in range(3):
            await asyncio.sleep(0)
        failed = True
    assert guess.result(), "it was looked at, though others had failed before its turn"


async def _is_refused(passwords: Passwords, stored: str, permit: Callable[[], None]) -> bool:
    try:
        await passwords.matches(PASSWORD, stored, permit=permit)
    except QuotaExceededError:
        return True
    return False


@pytest.mark.catalogue("T81")
async def test_nobodys_password_takes_as_long_as_somebodys(tmp_path: Path) -> None:
    async with running_node(tmp_path, auth={"failures_per_minute": 1000}) as node:
        spent: dict[str, list[float]] = {"admin": [], "nobody": []}
        bodies = set()
        for _ in range(4):
            for name, times in spent.items():
                began = time.perf_counter()
                answer = await sign_in(node.api, "not the password", username=name)
                times.append(time.perf_counter() - began)
                bodies.add((answer.status_code, answer.content))
        assert len(bodies) == 1
        somebody, nobody = (min(times) for times in spent.values())
        # Without the hash of nobody's password it would take a twentieth.
        assert 0.5 < nobody / somebody < 2


async def test_crowd_that_signs_in_does_not_hold_up_others(tmp_path: Path) -> None:
    async with running_node(tmp_path, auth={"failures_per_minute": 1000}) as node:
        async with asyncio.TaskGroup() as tasks:
            crowd = [tasks.create_task(sign_in(node.api, PASSWORD)) for _ in range(4)]
            slowest = 0.0
            async with hammer(node.addresses.api_url, {}) as caller:
                while not all(task.done() for task in crowd):
                    slowest = max(slowest, (await caller.get("/healthz")).seconds)
        assert {task.result().status_code for task in crowd} == {200}
        assert slowest < 1, "four hashes in the event loop would hold all up for longer"


async def test_more_people_than_can_be_served_are_told_to_come_again() -> None:
    passwords = Passwords()
    refused = 0
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(passwords.hash("password")) for _ in range(66)]
        await asyncio.sleep(0)
        with pytest.raises(QuotaExceededError, match="again in a few seconds"):
            await passwords.hash("password")
        for task in waiting:
            refused += task.cancel()
    assert refused == 66, "all of them had waited"
    assert await passwords.matches("password", await passwords.hash("password")), "none is stuck"


def encoded(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def signed(head: dict[str, Any], claims: dict[str, Any], key: bytes) -> str:
    text = f"{encoded(head)}.{encoded(claims)}"
    mark = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"


@pytest.mark.catalogue("T79")
async def test_no_signed_token_of_any_kind_is_taken(tmp_path: Path) -> None:
    """The relay has no JWT: its tokens are random, looked up, and nothing in them is believed."""
    async with running_node(tmp_path, auth={"failures_per_minute": 1000}) as node:
        now = int(time.time())
        public = node.store.identity.public_key
        claims = {
            "iss": node.addresses.base_url,
            "aud": node.addresses.base_url,
            "sub": "admin",
            "tenant": node.store.subscription_id,
            "scope": "all",
            "exp": now + 600,
        }
        head = {"alg": "HS256", "typ": "JWT"}
        other = await node.store.subscription("Other")
        without_end = {name: value for name, value in claims.items() if name != "exp"}
        tokens = [
            f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(claims)}.",
            signed(head, claims, public),
            signed(head, {**claims, "aud": "somewhere else"}, public),
            signed(head, {**claims, "iss": "https://evil.example"}, public),
            signed(head, without_end, public),
            signed({**head, "kid": "../../../dev/null"}, claims, b""),
            signed({**head, "kid": "https://evil.example/key"}, claims, b"key"),
            signed(head, {**claims, "nbf": now + 600}, public),
            signed(head, {**claims, "tenant": other}, public),
            signed({**head, "alg": "EdDSA", "jwk": {"kty": "OKP"}}, claims, public),
        ]
        answers = [
            await node.api.get("/api/connectors", headers={"Authorization": f"Bearer {token}"})
            for token in tokens
        ]
        assert [answer.status_code for answer in answers] == [401] * 10
        assert len({answer.content for answer in answers}) == 1
        for token in tokens:
            form = {"grant_type": "client_credentials", "client_secret": token}
            assert (await node.api.post("/oauth/token", data=form)).status_code == 401
