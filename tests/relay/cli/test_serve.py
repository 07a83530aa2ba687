import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from doubles.relay_commands import Commands, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ANY_PORTS = ("--port", "0", "--tunnel-port", "0")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_first_line_says_where_the_relay_listens(initialised: Commands) -> None:
    with served(initialised.data_dir, *ANY_PORTS, "--json", "--node", "n1") as (_, line):
        ready = json.loads(line)
        url = f"http://127.0.0.1:{ready['port']}"
        assert ready == {
            "ready": True,
            "event": "ready",
            "url": url,
            "api_url": url,
            "tunnel_url": f"ws://127.0.0.1:{ready['tunnel_port']}/tunnel",
            "public_url": url,
            "docs_url": f"{url}/docs",
            "node": "n1",
            "port": ready["port"],
            "tunnel_port": ready["tunnel_port"],
        }
        assert httpx.get(f"{url}/readyz", trust_env=False).json() == {"status": "ready"}


def test_second_serve_on_one_data_folder_is_refused(initialised: Commands) -> None:
    with served(initialised.data_dir, *ANY_PORTS):
        told = initialised("serve", *ANY_PORTS)
    assert told.status == 1
    assert told.out == ""
    assert f"serves the data folder {initialised.data_dir} already" in told.err


def test_two_nodes_may_share_a_store_that_is_elsewhere(relay: Commands, tmp_path: Path) -> None:
    store = ("--database-url", f"sqlite+aiosqlite:///{tmp_path / 'shared.sqlite3'}")
    relay.json("init", *store)
    with (
        served(relay.data_dir, *ANY_PORTS, *store) as (_, first),
        served(relay.data_dir, *ANY_PORTS, *store) as (_, second),
    ):
        assert first.startswith("ready ")
        assert second.startswith("ready ")


def refused(client: httpx.Client) -> bool:
    """Whether the client's key is revoked; what runs at that moment is cut off."""
    try:
        return client.get("/api/connectors").status_code == 401
    except httpx.RemoteProtocolError:
        return False


def test_commands_work_beside_a_running_relay(initialised: Commands) -> None:
    with served(initialised.data_dir, *ANY_PORTS) as (_, line):
        word, api, tunnel = line.split()
        assert word == "ready"
        assert tunnel.startswith("tunnel=ws://127.0.0.1:")
        with httpx.Client(base_url=api.removeprefix("api="), trust_env=False) as client:
            made = initialised.json("key", "create", "--scope", "connectors:read")
            client.headers["Authorization"] = f"Bearer {made['api_key']}"
            assert client.get("/api/connectors").status_code == 200
            initialised.json("key", "revoke", made["id"])
            revoked = time.monotonic()
            while not refused(client):
                assert time.monotonic() - revoked < 5
                time.sleep(0.1)


def test_public_url_is_what_others_are_told(initialised: Commands) -> None:
    url = "https://relay.example.com/cc"
    with served(initialised.data_dir, *ANY_PORTS, "--public-url", url) as (_, line):
        assert line == (
            "ready api=https://relay.example.com/cc tunnel=wss://relay.example.com/cc/tunnel\n"
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_relay_in_order(initialised: Commands, number: signal.Signals) -> None:
    with served(initialised.data_dir, *ANY_PORTS) as (process, _):
        process.send_signal(number)
        process.wait(timeout=30)
        said = process.stderr.read() if process.stderr else ""
    assert "relay_draining" in said
    assert "relay_stopped" in said


def test_drain_waits_for_a_running_request_and_the_second_signal_does_not(
    initialised: Commands,
) -> None:
    with served(initialised.data_dir, *ANY_PORTS, "--json") as (process, line):
        port = json.loads(line)["port"]
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(
                b"POST /Token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
            )  # its body is on the way
            time.sleep(0.3)
            process.terminate()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=1.5)
            process.terminate()
            process.wait(timeout=2)


@pytest.mark.parametrize("flag", ["--port", "--tunnel-port"])
def test_port_in_use_is_one_sentence_that_names_the_flag(
    initialised: Commands, taken: int, flag: str
) -> None:
    other = "--tunnel-port" if flag == "--port" else "--port"
    told = initialised("serve", flag, str(taken), other, "0")
    assert told.status == 1
    assert told.out == ""
    assert told.err == (
        f"Error: Port {taken} on 127.0.0.1 cannot be used (address already in use); stop the"
        f" program that has it, or choose another with {flag}.\n"
    )


def test_name_that_is_no_address_is_a_sentence(initialised: Commands) -> None:
    told = initialised(
        "serve", *ANY_PORTS, "--host", "no.such.host.invalid", "--public-url", "https://x.example"
    )
    assert told.status == 1
    assert "no.such.host.invalid" in told.err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--host", "0.0.0.0"), "--tls-cert"),
        (("--host", "0.0.0.0", "--public-url", "http://127.0.0.1:1"), "--tls-cert"),
        (("--public-url", "http://relay.example.com"), "public_url"),
        (("--public-url", "relay.example.com"), "public_url"),
        (("--tls-cert", "a.pem"), "tls_key"),
        (("--node", "a b"), "node"),
    ],
)
def test_bad_configuration_names_the_setting(
    initialised: Commands, flags: tuple[str, ...], reason: str
) -> None:
    told = initialised("serve", *ANY_PORTS, *flags)
    assert told.status == 78
    assert reason in told.err
    assert told.out == ""


def test_certificate_that_is_none_is_bad_configuration(
    initialised: Commands, tmp_path: Path
) -> None:
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        if path.name == "empty.pem":
            path.touch()
        told = initialised("serve", *ANY_PORTS, "--tls-cert", str(path), "--tls-key", str(path))
        assert told.status == 78
        assert "tls_cert" in told.err
