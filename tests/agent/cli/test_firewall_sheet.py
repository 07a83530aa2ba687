"""``cloud-connect firewall-sheet``."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli.conftest import Cli
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.paths import AgentPaths

RELAY = "https://relay.example.com"


def settle(home: Path, **changes: Any) -> None:
    paths = AgentPaths.of(home)
    paths.create()
    change_settings(paths, {tuple(name.split("__")): value for name, value in changes.items()})


def asked(cli: Cli, *arguments: str, **environ: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document, and its rules by host and protocol."""
    ended = cli("firewall-sheet", "--json", *arguments, **environ)
    assert ended.status == 0, ended.errors
    document = json.loads(ended.output)
    return document, {f"{rule['host']} {rule['protocol']}": rule for rule in document["rules"]}


def test_sheet_of_a_pc_that_is_not_enrolled_yet_says_what_is_missing_and_how_to_add_it(
    cli: Cli, home: Path
) -> None:
    document, rules = asked(cli)
    assert set(rules) == {"your DNS servers DNS, also TCP", "your time servers NTP"}
    assert any("--relay URL" in one for one in document["missing"])
    assert any("--environment live" in one for one in document["missing"])
    document, rules = asked(cli, "--relay", RELAY, "--environment", "live")
    assert document["missing"] == []
    assert document["inbound_ports"] == []
    relay = rules["relay.example.com HTTPS, WebSocket"]
    assert (relay["port"], relay["inspection"], relay["via"]) == ("TCP 443", "never", None)
    for host in ("api.procore.com", "login.procore.com", "*.procore.com", "*.s3.amazonaws.com"):
        assert rules[f"{host} HTTPS"]["inspection"] == "allowed"
    assert not home.exists(), "looking leaves nothing behind"


def test_sheet_follows_the_settings_of_the_pc(cli: Cli, home: Path) -> None:
    settle(
        home,
        relay__url=RELAY,
        relay__tunnel_url="wss://tunnel.example.com:8443/tunnel",
        relay__connector_id="conn_1",
        **{"procore__environments__monthly-sandbox__storage_hosts": ["files.example.com"]},
        **{"procore__environments__developer-sandbox__api_url": "http://127.0.0.1:9000"},
        **{"procore__environments__developer-sandbox__login_url": "http://127.0.0.1:9001"},
    )
    document, rules = asked(cli)
    assert rules["relay.example.com HTTPS"]["port"] == "TCP 443"
    assert rules["tunnel.example.com WebSocket (TLS)"]["port"] == "TCP 8443"
    assert "api-monthly.procore.com HTTPS" in rules
    assert "login-sandbox-monthly.procore.com HTTPS" in rules
    assert "files.example.com HTTPS" in rules
    assert "api.procore.com HTTPS" not in rules, "live is not set up"
    assert not any("127.0.0.1" in name for name in rules)
    assert any("this PC itself" in one for one in document["missing"])


def test_proxy_is_on_the_sheet_with_what_goes_through_it(cli: Cli) -> None:
    variables = {"HTTPS_PROXY": "http://pc:canary-word@proxy:3128", "NO_PROXY": "relay.example.com"}
    document, rules = asked(cli, "--relay", RELAY, "--environment", "live", **variables)
    assert rules["proxy HTTP CONNECT"]["port"] == "TCP 3128"
    assert "HTTPS_PROXY" in rules["proxy HTTP CONNECT"]["reason"]
    assert rules["api.procore.com HTTPS"]["via"] == "http://proxy:3128"
    assert rules["relay.example.com HTTPS, WebSocket"]["via"] is None
    assert any("NTLM" in note for note in document["notes"])
    assert "canary-word" not in json.dumps(document)


@pytest.mark.parametrize(
    "variables", [{}, {"HTTPS_PROXY": "http://proxy.example.com:3128"}], ids=["direct", "proxy"]
)
def test_text_is_a_table_that_fits_a_ticket(cli: Cli, variables: dict[str, str]) -> None:
    ended = cli("firewall-sheet", "--relay", RELAY, "--environment", "live", **variables)
    assert ended.status == 0
    lines = ended.output.splitlines()
    assert "no inbound port is needed" in lines[0]
    head = next(line for line in lines if line.startswith("TO "))
    via = ["VIA"] if variables else []
    assert head.split() == ["TO", *via, "PORT", "PROTOCOL", "INSPECT", "FOR"]
    table = lines[lines.index(head) : lines.index("", lines.index(head))]
    at = head.index("PORT")
    assert all(line[at - 1] == " " and line[at] != " " for line in table), "columns stand below"
    assert "\u001b" not in ended.output
    assert max(map(len, lines)) <= 100
    words = " ".join(ended.output.split())
    for fact in ("(Upgrade: websocket)", "Do not inspect TLS to relay.example.com"):
        assert fact in words


@pytest.mark.parametrize("relay", ["http://relay.example.com", "relay", "https://u:p@r.example"])
def test_address_that_is_none_is_refused(cli: Cli, relay: str) -> None:
    ended = cli("firewall-sheet", "--relay", relay)
    assert ended.status == 78
    assert "relay's address is wrong" in ended.errors
