"""Tests of ``cloud-connect config``."""

from pathlib import Path
from typing import Any

import pytest

from agent.cli.conftest import Cli


@pytest.fixture
def file(home: Path) -> Path:
    home.mkdir(mode=0o700)
    return home / "agent.toml"


def test_every_value_is_shown_with_its_source_and_no_secret(cli: Cli, file: Path) -> None:
    file.write_text('name = "pc"\n[log]\nfiles = 2\n')
    secret = {"CLOUD_CONNECT_PROXY__PASSWORD": "hunter22hunter22"}
    ended = cli("config", "show", "--sources", "--json", CLOUD_CONNECT_LOG__LEVEL="error", **secret)
    assert ended.status == 0
    found = {row["name"]: (row["value"], row["source"], row["from"]) for row in rows(ended)}
    assert found["name"] == ("pc", "file", "agent.toml, line 1")
    assert found["log.files"] == (2, "file", "agent.toml, line 3")
    assert found["log.level"] == ("error", "environment", "CLOUD_CONNECT_LOG__LEVEL")
    assert found["tunnel.backoff_cap"] == (60.0, "default", "default")
    assert found["proxy.password"] == ("***", "environment", "CLOUD_CONNECT_PROXY__PASSWORD")
    assert "hunter22" not in ended.output


def test_a_section_is_shown_alone_and_a_flag_is_a_source(cli: Cli) -> None:
    ended = cli("--debug", "config", "show", "log.level", "--sources")
    assert [line.split() for line in ended.output.splitlines()] == [
        ["Setting", "Value", "From"],
        ["log.level", "debug", "flag"],
    ]
    ended = cli("config", "show", "lgo")
    assert ended.status == 2
    assert "There is no setting lgo" in ended.errors


def test_only_what_was_changed_is_shown_if_asked(cli: Cli, file: Path) -> None:
    assert cli("config", "show", "--changed", "--json").document["settings"] == []
    file.write_text('name = "pc"\n')
    assert [row["name"] for row in rows(cli("config", "show", "--changed", "--json"))] == ["name"]


def test_nothing_wrong_is_status_0(cli: Cli, file: Path) -> None:
    file.write_text('name = "pc"\n')
    ended = cli("config", "check")
    assert ended.status == 0
    assert "Nothing is wrong" in ended.output


def test_all_that_is_wrong_is_told_with_file_and_line(cli: Cli, file: Path) -> None:
    file.write_text('nmae = "x"\n[log]\nlevel = "loud"\n')
    (file.parent / "policy.toml").write_text('version = 1\n\n[[rules]]\nefect = "allow"\n')
    ended = cli(
        *("config", "check", "--json"), CLOUD_CONNECT_LOG_FILES="3", CLOUD_CONNECT_NOISE="1"
    )
    assert ended.status == 78
    found = [
        (Path(one["place"]).name, one["line"], one["setting"], one["meant"])
        for one in ended.document["problems"]
    ]
    assert found == [
        ("agent.toml", 1, "nmae", "name"),
        ("agent.toml", 3, "log.level", None),
        ("CLOUD_CONNECT_LOG_FILES", None, None, "CLOUD_CONNECT_LOG__FILES"),
        ("policy.toml", 4, None, None),
    ]
    assert "did you mean “effect”" in ended.document["problems"][3]["problem"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name =", "not valid TOML"),
        ('[proxy]\npassword = "x"\n', "no place for proxy.password"),
        ('[relay]\nca_file = "/missing/ca.pem"\n', "relay.ca_file (agent.toml, line 2)"),
        (
            '[procore.environments.live]\nca_file = "/missing/ca.pem"\n',
            "which is not there",
        ),
        ('[proxy]\nurl = "http://p:1"\npassword_file = "/missing"\n', "password"),
    ],
)
def test_what_can_be_seen_is_wrong_before_the_agent_trips_over_it(
    cli: Cli, file: Path, text: str, said: str
) -> None:
    file.write_text(text)
    ended = cli("config", "check")
    assert ended.status == 78
    assert said in ended.output
    assert len(ended.errors.splitlines()) == 1


def rows(ended: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ended.document["settings"]
    return found
