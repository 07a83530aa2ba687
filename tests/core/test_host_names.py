"""Tests of what can be a host."""

import pytest

from cloud_connect.host_names import is_host


@pytest.mark.parametrize(
    "text",
    [
        "relay",
        "relay.example.com",
        "relay.example.com.",
        "RELAY-1.example",
        "my_relay.corp",
        "xn--bro-hoa.example",
        "10.1.2.3",
        "::1",
        "2001:db8::1",
        "fe80::1%eth0",
        "a" * 63 + ".example",
    ],
)
def test_names_and_addresses_are_hosts(text: str) -> None:
    assert is_host(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "relay..example",
        ".example",
        "büro.example",
        "re lay.example",
        "relay,example",
        "-relay.example",
        "relay-.example",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "relay\n.example",
        "relay\n",
    ],
)
def test_what_no_name_server_can_be_asked_for_is_none(text: str) -> None:
    assert not is_host(text)
