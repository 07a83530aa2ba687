"""Tests of ``cloud_connect_agent.reloading``."""

from pathlib import Path
from typing import Any

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.operation import CurrentProcore
from cloud_connect_agent.proxies import Proxies
from cloud_connect_agent.reloading import Reloader
from cloud_connect_agent.settings import AgentSettings, LogSettings

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
