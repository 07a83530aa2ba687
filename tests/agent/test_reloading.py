"""Tests of ``cloud_connect_agent.reloading``."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.operation import CurrentProcore
from cloud_connect_agent.proxies import Proxies
from cloud_connect_agent.reloading import Reloader
from cloud_connect_agent.settings import AgentSettings, LogSettings
from cloud_connect_agent.settings_listing import SettingPath, changes_live, settings_in

WAITING = [path for path, _ in settings_in(AgentSettings()) if not changes_live(path)]
ELSEWHERE = "https://relay.example.com"


class Bench:
    """A reloader and what it changes."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}
        started = AgentSettings()
        self.procore = CurrentProcore(started.procore)
        self.proxies = Proxies.of(started.proxy)
        self.logged: list[LogSettings] = []
        self.reloader = Reloader(
            lambda: AgentSettings.model_validate(self.content),
            started,
            procore=self.procore,
            proxies=self.proxies,
            log_as=self.logged.append,
        )


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return Bench()


def test_the_next_connection_goes_through_another_proxy(bench: Bench) -> None:
    assert bench.proxies.choose(ELSEWHERE) is None
    bench.content = {"proxy": {"url": "http://proxy.example.com:3128", "username": "pc"}}
    done = bench.reloader.reload()
    assert set(done.applied) == {"proxy.url", "proxy.username"}
    chosen = bench.proxies.choose(ELSEWHERE)
    assert chosen is not None
    assert chosen.url == "http://proxy.example.com:3128"


def test_a_password_of_the_proxy_that_cannot_be_read_changes_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    bench.content = {
        "log": {"level": "debug"},
        "procore": {"read_concurrency": 1},
        "proxy": {"url": "http://p:1", "password_file": str(tmp_path / "missing")},
    }
    with pytest.raises(ConfigurationError, match="password"):
        bench.reloader.reload()
    assert bench.proxies.choose(ELSEWHERE) is None
    assert bench.procore.read_concurrency == 32
    assert not bench.logged


def test_what_was_applied_is_told_once(bench: Bench) -> None:
    bench.content = {"procore": {"read_concurrency": 1}}
    assert bench.reloader.reload().applied == ("procore.read_concurrency",)
    assert bench.reloader.reload().applied == ()


def test_what_waits_for_a_restart_is_told_until_it_is_taken_back(bench: Bench) -> None:
    bench.content = {"name": "other"}
    assert bench.reloader.reload().restart == ("name",)
    assert bench.reloader.reload().restart == ("name",)
    bench.content = {}
    assert bench.reloader.reload().restart == ()


def changed(settings: BaseModel, path: SettingPath) -> BaseModel:
    """Return the settings with another value in one place, whatever kind of value belongs there."""
    name, *rest = path
    value = changed(getattr(settings, name), tuple(rest)) if rest else "another"
    return settings.model_copy(update={name: value})


@pytest.mark.parametrize("path", WAITING, ids=".".join)
def test_each_setting_that_a_running_agent_does_not_take_is_told(path: SettingPath) -> None:
    started = AgentSettings()
    fresh = changed(started, path)
    assert isinstance(fresh, AgentSettings)
    reloader = Reloader(
        lambda: fresh,
        started,
        procore=CurrentProcore(started.procore),
        proxies=Proxies.of(started.proxy),
        log_as=lambda _: None,
    )
    with capture_logs() as logged:
        done = reloader.reload()
    assert (done.applied, done.restart) == ((), (".".join(path),))
    warned = [entry for entry in logged if entry["log_level"] == "warning"]
    assert [entry["settings"] for entry in warned] == [done.restart]
    assert reloader.in_use()[".".join(path)] != "another"


def test_the_sections_that_wait_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "diagnosis.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| policy and approvals"))
    told = set(re.findall(r"`\[?(\w+)\]?`", row.split(" | ")[1]))
    assert told == {path[-1] if path[0] == "procore" else path[0] for path in WAITING}
