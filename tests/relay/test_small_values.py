"""Ids, times, addresses, metrics and the listener's choice of an address."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect_relay.addresses import Addresses
from cloud_connect_relay.http_server import ListenError, _trusted_proxies, bind
from cloud_connect_relay.ids import is_id, new_id
from cloud_connect_relay.metrics import Metrics
from cloud_connect_relay.settings import RelaySettings
from cloud_connect_relay.times import iso_time, parse_duration


def test_fresh_ids_differ_and_are_ids() -> None:
    made = {new_id("con") for _ in range(1000)}
    assert len(made) == 1000
    assert all(is_id("con", one) for one in made)


@given(st.text())
def test_text_is_hardly_ever_an_id(text: str) -> None:
    assert not is_id("con", text)


@pytest.mark.parametrize("text", ["ds_0123456789abcdef", "con_0123456789abcdeu", "con_0", "con"])
def test_other_prefixes_lengths_and_letters_are_no_id(text: str) -> None:
    assert not is_id("con", text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), (" 1H ", 3600), ("30d", 2_592_000), ("2 h", 7200)],
)
def test_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0h", "-1", "1w", "1.5h", "one", "1" * 10, "\N{ARABIC-INDIC DIGIT ONE}s"]
)
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="90s"):
        parse_duration(text)


def test_time_is_iso_8601_in_utc() -> None:
    assert iso_time(0.5) == "1970-01-01T00:00:00.500Z"
    assert iso_time(None) is None


def test_addresses_come_from_the_sockets() -> None:
    addresses = Addresses(host="127.0.0.1")
    addresses.bind(port=1, tunnel_port=2)
    assert addresses.base_url == addresses.api_url == "http://127.0.0.1:1"
    assert addresses.tunnel_url == "ws://127.0.0.1:2/tunnel"


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6_address_stands_in_brackets(host: str) -> None:
    addresses = Addresses(host=host, secure=True, port=1, tunnel_port=2)
    assert addresses.api_url == "https://[::1]:1"
    assert addresses.tunnel_url == "wss://[::1]:2/tunnel"


def test_any_address_goes_by_the_machines_name() -> None:
    addresses = Addresses(host="0.0.0.0", secure=True, port=1)
    assert addresses.api_url == f"https://{socket.gethostname()}:1"


@pytest.mark.parametrize(
    ("public", "base", "tunnel"),
    [
        ("https://x.example", "https://x.example", "wss://x.example/tunnel"),
        ("https://x.example:8/a/", "https://x.example:8/a", "wss://x.example:8/a/tunnel"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9", "ws://127.0.0.1:9/tunnel"),
    ],
)
def test_public_url_comes_first(public: str, base: str, tunnel: str) -> None:
    addresses = Addresses(host="127.0.0.1", public_url=public, port=1, tunnel_port=2)
    assert (addresses.base_url, addresses.tunnel_url) == (base, tunnel)
    assert addresses.bound_tunnel_url == "ws://127.0.0.1:2/tunnel"


def test_metrics_count_calls() -> None:
    metrics = Metrics()
    metrics.watch_connectors(lambda: 3, streams=lambda: 8)
    metrics.call_finished("query", "completed", 0.02)
    text = metrics.render().decode()
    assert 'cloud_connect_calls_total{operation="query",outcome="completed"} 1.0' in text
    assert 'cloud_connect_call_duration_seconds_count{operation="query"} 1.0' in text
    assert "cloud_connect_connectors_online 3.0" in text
    assert "cloud_connect_streams_open 8.0" in text


def test_two_relays_in_one_process_count_apart() -> None:
    Metrics().call_finished("query", "completed", 1)
    assert b"query" not in Metrics().render()


def test_port_that_is_taken_is_a_sentence() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ListenError, match=f"Port {port} on 127.0.0.1.*--port"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("given", "trusted"),
    [
        ({}, ()),
        ({"public_url": "https://x.example"}, ("127.0.0.1", "::1")),
        ({"public_url": "https://x.example", "tls_cert": "a", "tls_key": "b"}, ()),
        ({"api": {"trusted_proxies": ["10.0.0.1"]}}, ("10.0.0.1",)),
    ],
)
def test_only_a_proxy_that_was_configured_may_name_the_caller(
    tmp_path: Path, given: dict[str, object], trusted: tuple[str, ...]
) -> None:
    settings = RelaySettings.model_validate({"data_dir": tmp_path, **given})
    assert _trusted_proxies(settings) == trusted
