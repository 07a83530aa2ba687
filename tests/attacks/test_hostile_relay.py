"""A relay in the wrong hands, with the key that the agent trusts: what it can make the PC do."""

import asyncio
import contextlib
import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from cloud_connect.errors import TunnelError
from cloud_connect.session import Session
from cloud_connect.tunnel import Problem
from cloud_connect.tunnel.frames import Flag, Frame, FrameType
from cloud_connect_agent.policy import PolicyClass
from doubles.canary_server import CanaryServer
from doubles.hostile_relay import Siege, open_siege

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PUNCH_ITEMS = "records.create"


def places(canary: CanaryServer) -> list[str]:
    """Targets that lead anywhere but below the API."""
    inside = f"127.0.0.1:{canary.port}"
    hosts = (inside, f"localhost:{canary.port}", f"[::1]:{canary.port}", "169.254.169.254")
    return [
        *(f"{scheme}://{host}/latest/meta-data" for scheme in ("http", "https") for host in hosts),
        *(f"rest/http://{host}/" for host in hosts),
        *(f"rest/v1.0/..//{host}/" for host in hosts),
        *(f"//{host}/rest/v1.0/me" for host in hosts),
        *(f"rest/v1.0@{host}/" for host in hosts),
        *(f"@{host}/rest/v1.0/me" for host in hosts),
        *(f"\\\\{host}\\rest" for host in hosts),
        f"rest/v1.0/me\r\nHost: {inside}\r\n\r\nGET / HTTP/1.1",
        f"rest/v1.0/me HTTP/1.1\r\nHost: {inside}",
        f"gopher://{inside}/_GET",
        f"ftp://{inside}/",
        f"dict://{inside}/",
        f"unix:///{inside}",
        "file:///etc/passwd",
        "file://localhost/etc/shadow",
        "rest/../../../etc/passwd",
        "rest/%2e%2e/%2e%2e/etc/passwd",
        "rest/v1.0/..%2f..%2foauth/token",
        "oauth/token?grant_type=client_credentials",
        "/oauth/revoke",
        "",
        "/",
    ]


def pushes(canary: CanaryServer) -> list[tuple[str, dict[str, Any], bytes]]:
    """Operations that would change the PC, if it knew them."""
    evil = f"http://127.0.0.1:{canary.port}/evil"
    policy = b'mode = "normal"\n[[rules]]\nid = "all"\neffect = "allow"\n'
    settings = json.dumps({"procore": {"environments": {"live": {"api_url": evil}}}}).encode()
    return [
        *((name, {}, policy) for name in ("policy", "policy.push", "policy.set", "policy.approve")),
        *((name, {"url": evil}, b"MZ") for name in ("update", "upgrade", "install", "plugin.load")),
        *((name, {"settings": {"api_url": evil}}, settings) for name in ("config", "settings.set")),
        *((name, {"command": "id"}, b"id") for name in ("exec", "shell", "run", "eval")),
        *((name, {"path": "/etc/passwd"}, b"") for name in ("file.read", "file.write", "open")),
        ("fetch", {"url": evil}, b""),
        ("connect", {"host": "127.0.0.1", "port": canary.port}, b""),
        ("reload", {}, b""),
        ("unenrol", {}, b""),
        ("report", {"policy": {"class": "read-write"}}, b"{}"),
        ("results", {}, b'{"results":[]}'),
        ("", {}, b""),
        ("passthrough\x00", {}, b""),
        ("PASSTHROUGH", {"method": "GET", "target": "rest/v1.0/me"}, b""),
    ]


def twisted(siege: Siege, canary: CanaryServer) -> list[tuple[str, dict[str, Any], bytes]]:
    """Known operations with parameters that an honest relay never sends."""
    evil = f"http://127.0.0.1:{canary.port}/evil"
    source = siege.source
    records = {"resource": "rfis", "scope": {"project_id": str(siege.project_id)}}
    return [
        # Another base address, named wherever somebody might look for one.
        ("records.list", {**records, "source": {**source, "environment": evil}}, b""),
        ("records.list", {**records, "source": {**source, "environment": "live"}}, b""),
        ("records.list", {"resource": evil}, b""),
        ("records.list", {"resource": "../rfis"}, b""),
        ("records.get", {**records, "record_id": "../../me"}, b""),
        ("records.get", {**records, "record_id": "1?company_id=1"}, b""),
        ("records.list", {**records, "scope": {"project_id": f"1/../..//{evil}"}}, b""),
        ("files.content", {**records, "record_id": "1", "field": evil}, b""),
        ("files.upload", {"filename": "../../.ssh/authorized_keys"}, b"ssh-ed25519 AAAA"),
        ("files.upload", {"filename": "C:\\Windows\\System32\\x.dll", "flow": "segmented"}, b"MZ"),
        ("authorize", {"redirect_uri": evil}, b""),
        ("authorize", {"redirect_uri": "http://169.254.169.254/oauth/callback"}, b""),
        ("redeem", {}, b'{"code":"c","state":"s"}'),
        # Writes, which the policy on the PC does not allow.
        ("records.create", records, b'{"subject":"evil"}'),
        ("records.update", {**records, "record_id": "1"}, b'{"subject":"evil"}'),
        ("records.delete", {**records, "record_id": "1"}, b""),
        ("records.attach", {**records, "record_id": "1", "upload": "1"}, b""),
        ("query", {}, b'{"action":"insert","table":"rfis","items":[{"name":"subject"}]}'),
        *(
            ("passthrough", {"method": method, "target": f"rest/v1.0/projects/{number}"}, b"{}")
            for method in ("POST", "PUT", "PATCH", "DELETE")
            for number in (siege.project_id, 1)
        ),
        ("passthrough", {"method": "TRACE", "target": "rest/v1.0/me"}, b""),
        ("passthrough", {"method": "CONNECT", "target": f"127.0.0.1:{canary.port}"}, b""),
    ]


HEADERS = (
    ("X-HTTP-Method-Override", "DELETE"),
    ("Host", "evil.example"),
    ("Authorization", "Bearer stolen"),
    ("X-Forwarded-Host", "evil.example"),
    ("Proxy-Authorization", "Basic eDp5"),
    ("Transfer-Encoding", "chunked"),
    ("Connection", "close, Procore-Company-Id"),
)


def frames() -> list[bytes]:
    """Each kind of frame as no honest relay sends it; each may cost the link."""
    head = json.dumps({"operation": "exec", "call_id": "x", "deadline_ms": 1}).encode()
    known = {int(kind) for kind in FrameType}
    unknown = b"".join(
        Frame(kind=kind, flags=255, stream_id=7, payload=b"x" * 9).encode()
        for kind in range(256)
        if kind not in known
    )
    return [
        unknown,
        Frame(kind=FrameType.HEADERS, stream_id=2, payload=head).encode(),  # the agent's own id
        Frame(kind=FrameType.HEADERS, stream_id=0, payload=head).encode(),
        Frame(kind=FrameType.HEADERS, stream_id=1, payload=b"{" * 16_000).encode(),
        Frame(kind=FrameType.HEADERS, stream_id=1, payload=b'{"operation":NaN}').encode(),
        Frame(kind=FrameType.DATA, stream_id=99, payload=b"for nobody").encode(),
        Frame(kind=FrameType.DATA, stream_id=0, payload=b"x").encode(),
        Frame(kind=FrameType.RST_STREAM, stream_id=2, payload=struct.pack(">I", 1)).encode(),
        Frame(kind=FrameType.RST_STREAM, flags=Flag.ACK, stream_id=12_345).encode(),
        Frame(kind=FrameType.SETTINGS, payload=struct.pack(">HI", 3, 0)).encode(),
        Frame(kind=FrameType.SETTINGS, payload=struct.pack(">HI", 4, 2**32 - 1)).encode(),
        Frame(kind=FrameType.SETTINGS, payload=b"odd").encode(),
        Frame(kind=FrameType.PING, payload=b"12345678").encode() * 400,
        Frame(kind=FrameType.PING, flags=Flag.ACK, payload=b"12345678").encode(),
        Frame(kind=FrameType.WINDOW_UPDATE, payload=struct.pack(">II", 2**32 - 1, 1)).encode() * 9,
        Frame(kind=FrameType.WINDOW_UPDATE, stream_id=2, payload=b"\0" * 8).encode(),
        Frame(kind=FrameType.GOAWAY, payload=struct.pack(">II", 1, 2**32 - 1) + b"evil").encode(),
        Frame(kind=FrameType.GOAWAY, payload=b"").encode(),
        b"\xff\xff\xff\x01\x00\x00\x00\x00\x01",
        b"\x00",
        b"",
    ]


def fingerprint(home: Path) -> dict[str, str]:
    """What the relay must not change: settings, policy, and the vault's secrets."""
    files = [home / "agent.toml", home / "policy.toml", *(home / "state" / "vault").iterdir()]
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
        if path.suffix != ".lock" and "token" not in path.name and path.is_file()
    }


async def asked(siege: Siege) -> list[dict[str, Any]]:
    """Every request that Procore got."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.get(f"{siege.simulator.ready['admin_url']}/requests")
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def reads_well(siege: Siege, session: Session) -> None:
    """Check that the agent still does what it is allowed to."""
    params = {"method": "GET", "target": f"rest/v1.1/projects?company_id={siege.company_id}"}
    answer = await siege.call(session, "passthrough", params)
    assert answer.status == 200, answer


def surely_nothing(problem: Problem | None) -> bool:
    return problem is None or problem.outcome.value == "not_executed"


@pytest.mark.catalogue("T101")
async def test_a_hostile_relay_gets_no_more_than_the_policy_and_reaches_nothing_else(
    tmp_path: Path,
) -> None:
    async with CanaryServer.open() as canary, open_siege(tmp_path) as siege:
        relay, agent = siege.relay, siege.agent
        before = fingerprint(agent.home)
        evil = f"http://127.0.0.1:{canary.port}"
        relay.replies += [
            json.dumps({"policy": {"class": "read-write"}, "update": evil}).encode(),
            json.dumps({"tunnel_url": f"ws://127.0.0.1:{canary.port}", "reload": True}).encode(),
            b"\x00\xff" * 1000,
        ]
        async with relay.session() as session:
            await reads_well(siege, session)
            for target in places(canary):
                for method in ("GET", "HEAD"):
                    params = {"method": method, "target": target}
                    answer = await siege.call(session, "passthrough", params)
                    assert answer.refused, (target, answer)
                    assert surely_nothing(answer.problem), (target, answer)
            for operation, params, body in (*pushes(canary), *twisted(siege, canary)):
                try:
                    answer = await siege.call(session, operation, params, body)
                except (TunnelError, ValueError):
                    continue  # our own encoder refuses such a head already
                assert answer.refused, (operation, params, answer)
                if operation != "files.content":  # a read, which the policy allows
                    assert surely_nothing(answer.problem), (operation, params, answer)
            params = {
                "method": "GET",
                "target": f"rest/v1.1/projects?company_id={siege.company_id}",
            }
            answer = await siege.call(session, "passthrough", params, headers=HEADERS)
            assert answer.status == 200
            foreign = (("Procore-Company-Id", "1"),)
            answer = await siege.call(session, "passthrough", params, headers=foreign)
            assert answer.refused
            assert surely_nothing(answer.problem)
        for message in frames():
            link = await relay.link()
            await link.send(Frame(kind=FrameType.SETTINGS, payload=b"").encode())
            await link.send(message)
            await link.send(Frame(kind=FrameType.PING, payload=b"whatever").encode())
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionClosed):  # as the agent may, for such a frame
                    while b"whatever" not in await link.recv():
                        pass
            await link.close()
        link = await relay.link()
        await link.send("policy = everything")  # text, which no session holds
        async with asyncio.timeout(10):
            await link.wait_closed()
        async with relay.session() as session:
            await reads_well(siege, session)
        assert agent.program.alive
        after = fingerprint(agent.home)
        assert {name: after.get(name) for name in before} == before
        assert canary.heard == []
        requests = await asked(siege)
        # Whether a project is the company's own is asked of Procore, too.
        project = rf"projects/{siege.project_id}(/rfis/1)?"
        allowed = re.compile(rf"/rest/v1\.[01]/(me|companies|projects|{project})|/oauth/token")
        odd = [
            (one["method"], one["path"])
            for one in requests
            if not allowed.fullmatch(one["path"])
            or one["method"] != ("POST" if one["path"] == "/oauth/token" else "GET")
        ]
        assert odd == []
        sent = str([one["headers"] for one in requests]).lower()
        assert "procore-company-id" in sent
        for mark in ("x-http-method-override", "evil.example", "stolen", "proxy-authorization"):
            assert mark not in sent
        assert "Traceback" not in agent.log_text


@pytest.mark.catalogue("T111")
async def test_one_call_id_is_executed_once_however_often_a_relay_sends_it(tmp_path: Path) -> None:
    async with open_siege(tmp_path, policy=PolicyClass.READ_WRITE) as siege:
        scope = {"project_id": str(siege.project_id)}
        params = {"resource": "punch_items", "scope": scope}

        async def create(session: Session, call_id: str, marker: str) -> int:
            body = json.dumps({"name": marker}).encode()
            answer = await siege.call(session, PUNCH_ITEMS, params, body, call_id=call_id)
            return answer.status

        async def executions(marker: str) -> int:
            async with httpx.AsyncClient(trust_env=False) as client:
                url = f"{siege.simulator.ready['admin_url']}/ledger"
                items = (await client.get(url, params={"contains": marker})).json()["items"]
            return sum(one["method"] == "POST" for one in items)

        async with siege.relay.session() as session:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(8):
                    tasks.create_task(create(session, "call_twice", "a-first-marker"))
            assert await create(session, "call_twice", "a-first-marker") == 201
            # Under the same id, another body is no other call.
            assert await create(session, "call_twice", "a-second-marker") >= 400
        await siege.agent.program.restart()
        async with siege.relay.session() as session:
            assert await create(session, "call_twice", "a-first-marker") == 201
            assert await create(session, "call_twice", "a-second-marker") >= 400
            assert await create(session, "call_other", "a-third-marker") == 201
        assert await executions("a-first-marker") == 1
        assert await executions("a-second-marker") == 0
        assert await executions("a-third-marker") == 1
