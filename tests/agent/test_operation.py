"""Tests of ``cloud_connect_agent.operation``."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from cloud_connect.calls import Environment, Report, ReportedBudget, ReportedGrant
from cloud_connect.echo import EchoParams
from cloud_connect.errors import CloudConnectError, ConfigurationError, VaultLockedError
from cloud_connect_agent.health import Health
from cloud_connect_agent.live_calls import LiveCalls
from cloud_connect_agent.operation import CurrentProcore, Operator
from cloud_connect_agent.reports import ReportBoard
from cloud_connect_agent.settings import AgentSettings, LogSettings
from cloud_connect_agent.settings_listing import settings_in
from cloud_connect_agent.stopping import StopSignal

GRANT = ReportedGrant(environment=Environment.LIVE, grant="client-credentials", client_id="app")


class FakeClient:
    """A Procore client without a network."""

    def __init__(self) -> None:
        self.found: list[ReportedGrant] = []
        self.fault: CloudConnectError | None = None
        self.reloads = 0

    async def grants(self) -> list[ReportedGrant]:
        if self.fault is not None:
            raise self.fault
        return self.found

    def reload(self) -> None:
        self.reloads += 1


class FakePolicy:
    """A policy with a summary."""

    def __init__(self) -> None:
        self.content: dict[str, object] = {"class": "read-only"}
        self.reloads = 0

    def reload(self) -> None:
        self.reloads += 1

    def told(self) -> dict[str, object]:
        return self.summary()

    def summary(self) -> dict[str, object]:
        return self.content


class FakeJournal:
    """A journal that works, or not."""

    problem: str | None = None
    damaged = False
    slow = False

    async def untold(self) -> int:
        if self.slow:
            await asyncio.Event().wait()
        return 3


class Bench:
    """An operator and what stands around it."""

    def __init__(self) -> None:
        self.settings = AgentSettings.model_validate(
            {"name": "pc", "relay": {"url": "https://relay.example.com", "connector_id": "con_1"}}
        )
        self.fault: ConfigurationError | None = None
        self.changes: dict[str, Any] = {}
        self.logged: list[LogSettings] = []
        self.live = LiveCalls()
        self.client, self.policy, self.journal = FakeClient(), FakePolicy(), FakeJournal()
        self.health, self.stop = Health(), StopSignal()
        self.board = ReportBoard(Report(machine="pc"))
        self.procore = CurrentProcore(self.settings.procore)
        self.operator = Operator(
            load=self.load,
            settings=self.settings,
            procore=self.procore,
            client=self.client,
            policy=self.policy,
            journal=self.journal,
            health=self.health,
            board=self.board,
            stop=self.stop,
            live=self.live,
            log_as=self.logged.append,
            list_settings=self.list_settings,
        )

    def load(self) -> AgentSettings:
        if self.fault is not None:
            raise self.fault
        return AgentSettings.model_validate(
            {
                **self.settings.model_dump(),
                "procore": {"environments": {"live": {"api_url": "http://127.0.0.1:1"}}},
                **self.changes,
            }
        )

    def list_settings(self) -> list[dict[str, Any]]:
        return [
            {"name": ".".join(path), "value": value, "source": "file", "from": "x", "line": 1}
            for path, value in settings_in(self.load())
        ]

    async def ask(self, command: str, **more: Any) -> dict[str, Any]:
        return await self.operator.answer({"command": command, **more})


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_status_tells_everything_at_once(bench: Bench) -> None:
    bench.client.found = [GRANT]
    status = (await bench.ask("status"))["status"]
    assert status["state"] == "connecting"
    assert status["connected"] is False
    assert status["relay"] == "https://relay.example.com"
    assert (status["connector_id"], status["name"]) == ("con_1", "pc")
    assert status["procore"][0]["environment"] == "live"
    assert status["policy"] == {"class": "read-only"}
    assert status["problems"] == []
    assert status["in_flight"] == 0
    assert status["journal"] == {"state": "ok", "results_to_tell": 3}


async def test_status_names_what_does_not_work(bench: Bench) -> None:
    bench.client.fault = VaultLockedError("The vault is locked.")
    bench.journal.problem = "The journal is full."
    status = (await bench.ask("status"))["status"]
    assert status["problems"] == ["The journal is full.", "The vault is locked."]
    assert status["procore"] == []
    assert status["journal"] == {"state": "unavailable", "results_to_tell": 3}


async def test_a_journal_that_takes_no_writes_is_reported_to_the_relay(bench: Bench) -> None:
    bench.journal.problem, bench.journal.damaged = "The journal is damaged.", True
    await bench.ask("reload")
    assert bench.board.report.problems == ("The journal is damaged.",)
    status = (await bench.ask("status"))["status"]
    assert status["journal"] == {"state": "damaged", "results_to_tell": None}
    bench.journal.problem, bench.journal.damaged = None, False
    await bench.ask("reload")
    assert not bench.board.report.problems


async def test_a_disk_that_hangs_does_not_hold_up_the_status(bench: Bench) -> None:
    bench.journal.slow = True
    status = (await bench.ask("status"))["status"]
    assert status["journal"] == {"state": "ok", "results_to_tell": None}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(30.0, None), (31.0, "31 s ahead of the relay's"), (-3600.0, "1 h 0 min behind the relay's")],
)
async def test_status_names_a_clock_that_is_wrong(
    bench: Bench, seconds: float, said: str | None
) -> None:
    bench.health.clock_skew(seconds)
    status = (await bench.ask("status"))["status"]
    assert status["clock_skew_seconds"] == seconds
    assert len(status["problems"]) == (said is not None)
    assert (said or "") in " ".join(status["problems"])


@pytest.mark.parametrize(
    ("seconds", "said"), [(7100.0, "another 1 h 58 min"), (50.9, "another 50 s")]
)
async def test_status_says_that_an_administrator_paused_it_at_the_relay(
    bench: Bench, seconds: float, said: str
) -> None:
    bench.health.connected(
        SimpleNamespace(round_trip=None, last_received=time.monotonic(), in_flight=0)
    )
    bench.health.echoed(EchoParams(held_seconds=seconds))
    (problem,) = (await bench.ask("status"))["status"]["problems"]
    assert "paused this connector in the relay's console" in problem
    assert said in problem
    bench.health.echoed(EchoParams(held_seconds=seconds, draining=True))
    (problem,) = (await bench.ask("status"))["status"]["problems"]
    assert "drains this connector in the relay's console" in problem
    bench.health.echoed(EchoParams())
    assert not (await bench.ask("status"))["status"]["problems"]


async def test_reload_uses_settings_policy_and_vault_at_once(bench: Bench) -> None:
    bench.client.found = [GRANT]
    assert await bench.ask("reload") == {
        "applied": ["procore.environments.live.api_url"],
        "restart": [],
        "policy": {"class": "read-only"},
    }
    assert bench.procore.environments["live"].api_url == "http://127.0.0.1:1"
    assert (bench.client.reloads, bench.policy.reloads) == (1, 1)
    assert bench.board.report.procore == (GRANT,)
    assert (bench.procore.read_concurrency, bench.procore.write_concurrency) == (32, 8)


async def test_settings_that_are_wrong_change_nothing_and_are_said(bench: Bench) -> None:
    bench.fault = ConfigurationError("The setting name is wrong.")
    with pytest.raises(ConfigurationError, match="name is wrong"):
        await bench.ask("reload")
    assert bench.procore.environments == {}
    assert (bench.client.reloads, bench.policy.reloads) == (0, 0)
    assert "name is wrong" in (await bench.ask("status"))["status"]["problems"][0]
    bench.fault = None
    await bench.ask("reload")
    assert (await bench.ask("status"))["status"]["problems"] == []


async def test_a_reload_says_what_waits_for_a_restart_until_there_was_one(bench: Bench) -> None:
    bench.changes = {"tunnel": {"backoff_cap": 5}, "log": {"level": "debug"}}
    answer = await bench.ask("reload")
    assert answer["restart"] == ["tunnel.backoff_cap"]
    assert "log.level" in answer["applied"]
    assert [one.level for one in bench.logged] == ["debug"]
    (problem,) = (await bench.ask("status"))["status"]["problems"]
    assert "tunnel.backoff_cap" in problem
    assert (await bench.ask("reload"))["restart"] == ["tunnel.backoff_cap"]
    assert len(bench.logged) == 1  # nothing of it has changed since
    bench.changes = {}
    assert (await bench.ask("reload"))["restart"] == []
    assert (await bench.ask("status"))["status"]["problems"] == []


async def test_the_settings_in_use_are_told_and_what_waits_beside_them(bench: Bench) -> None:
    bench.changes = {"tunnel": {"backoff_cap": 5}, "log": {"level": "debug"}}

    async def told() -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in (await bench.ask("settings"))["settings"]}

    before = await told()
    assert (before["log.level"]["value"], before["log.level"]["pending"]) == ("info", "debug")
    await bench.ask("reload")
    after = await told()
    assert after["log.level"]["value"] == "debug"
    assert "pending" not in after["log.level"]
    assert after["tunnel.backoff_cap"]["value"] == 60.0
    assert after["tunnel.backoff_cap"]["pending"] == 5.0
    bench.fault = ConfigurationError("It is broken.")
    assert (await told())["log.level"] == {
        "name": "log.level",
        "value": "debug",
        "source": None,
        "from": None,
        "line": None,
    }


async def test_the_control_socket_shows_calls(bench: Bench) -> None:
    assert (await bench.ask("requests"))["items"] == []


async def test_pause_and_resume_reach_the_relay_at_once(bench: Bench) -> None:
    await bench.ask("pause", seconds=60)
    assert (await bench.ask("status"))["status"]["paused"] is True
    assert bench.board.report.model_dump()["paused"] is True
    await bench.ask("resume")
    assert bench.board.report.model_dump()["paused"] is False
    await bench.ask("pause")
    assert bench.health.paused


@pytest.mark.parametrize("seconds", ["10", True, 0, -1, 1e9])
async def test_a_pause_needs_a_sensible_duration(bench: Bench, seconds: object) -> None:
    with pytest.raises(CloudConnectError):
        await bench.ask("pause", seconds=seconds)
    assert not bench.health.paused


async def test_drain_stops_the_agent_in_order(bench: Bench) -> None:
    await bench.ask("drain")
    assert bench.stop.requested
    assert not bench.stop.urgent


async def test_an_unknown_command_is_refused(bench: Bench) -> None:
    with pytest.raises(CloudConnectError, match="does not know"):
        await bench.ask("shutdown")
    with pytest.raises(CloudConnectError):
        await bench.operator.answer({})


async def test_changes_are_noticed_while_watching(bench: Bench) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        watch = group.create_task(bench.operator.watch())
        first = await bench.board.other_than(Report(machine="pc"))
        assert first.policy == {"class": "read-only"}
        bench.policy.content = {"class": "read-write"}
        bench.operator.reload()  # as SIGHUP does
        second = await bench.board.other_than(first)
        assert second.policy == {"class": "read-write"}
        bench.client.found = [GRANT]  # as `procore login` in another process does
        third = await bench.board.other_than(second)
        assert third.procore == (GRANT,)
        watch.cancel()


async def test_the_relay_hears_of_budgets_now_and_then_and_status_at_once(bench: Bench) -> None:
    def left(remaining: int) -> list[ReportedGrant]:
        budget = ReportedBudget(company_id=1, limit=25, remaining=remaining)
        return [GRANT.model_copy(update={"budget": (budget,)})]

    bench.client.found = left(25)
    await bench.ask("resume")
    bench.client.found = left(3)
    await bench.ask("resume")
    (told,) = bench.board.report.procore
    assert told.budget[0].remaining == 25
    status = (await bench.ask("status"))["status"]
    assert status["procore"][0]["budget"][0]["remaining"] == 3
