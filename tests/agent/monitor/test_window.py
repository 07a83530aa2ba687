"""The window, driven by its keys, in front of a real control socket and a real log file."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import RichLog, Static
from textual.widgets._footer import FooterKey

from cloud_connect_agent.monitor.agent import WatchedAgent
from cloud_connect_agent.monitor.dialogs import HelpDialog, PauseDialog
from cloud_connect_agent.monitor.reading import Identity, Reading
from cloud_connect_agent.monitor.window import MonitorWindow
from cloud_connect_agent.paths import AgentPaths
from doubles.told_agent import NOW, ToldAgent, moment, status_document
from doubles.waiting import until

IDENTITY = Identity(machine="PC-17", name="site", connector_id="con_1", relay="https://r.example")


class Screen:
    """What a person at the window does and sees."""

    def __init__(self, window: MonitorWindow, pilot: Pilot[None], paths: AgentPaths) -> None:
        self.window = window
        self.pilot = pilot
        self.paths = paths

    def part(self, name: str) -> str:
        return str(self.window.screen_stack[0].query_one(f"#{name}", Static).content)

    def facts(self) -> str:
        shown = self.window.screen_stack[0].query(".fact").results(Static)
        return "\n".join(str(one.content) for one in shown if one.display)

    def log(self) -> str:
        view = self.window.screen_stack[0].query_one(RichLog)
        return "\n".join(strip.text for strip in view.lines)

    def offers(self) -> list[str]:
        shown = self.window.screen_stack[0].query(FooterKey)
        return [key.description for key in shown if key.display]

    def write(self, event: str, **facts: Any) -> None:
        with self.paths.log_file.open("a") as file:
            file.write(json.dumps({"time": moment(0), "level": "info", "event": event, **facts}))
            file.write("\n")

    async def until_status(self, word: str) -> None:
        await until(lambda: self.part("status").startswith(f"● {word}"))


@pytest.fixture
def paths(tmp_path: Path) -> AgentPaths:
    made = AgentPaths.of(tmp_path / "home")
    made.create()
    return made


@asynccontextmanager
async def window_on(
    paths: AgentPaths, *, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Screen]:
    agent = WatchedAgent(paths=paths, identity=IDENTITY, now=lambda: NOW)
    window = MonitorWindow(agent, log_file=paths.log_file, clock=lambda: NOW)
    async with window.run_test(size=size) as pilot:
        yield Screen(window, pilot, paths)


async def test_window_shows_who_the_pc_is_and_how_it_fares(paths: AgentPaths) -> None:
    async with ToldAgent().running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        assert screen.part("status") == "● CONNECTED  for 6 min"
        assert "agent 9.8.7" in screen.part("title")
        for fact in ("PC-17", "con_3f2504e04f8911d3", "12.3 ms, 3 s ago", "14 a minute"):
            assert fact in screen.facts()
        assert "✓ signed in" in screen.part("accounts")
        assert "none since the agent started" in screen.part("errors")


async def test_status_is_green_only_when_connected(paths: AgentPaths) -> None:
    agent = ToldAgent()
    async with agent.running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        status = screen.window.query_one("#status", Static)
        assert "ansi_green" in str(getattr(status.content, "spans", ""))
        agent.status = status_document(state="offline", error="The relay cannot be reached.")
        await screen.until_status("OFFLINE")
        assert "ansi_red" in str(getattr(status.content, "spans", ""))
        assert screen.part("notes") == "The relay cannot be reached."


async def test_window_waits_for_an_agent_and_finds_it(paths: AgentPaths) -> None:
    async with window_on(paths) as screen:
        await screen.until_status("STOPPED")
        assert "cloud-connect run" in screen.part("notes")
        assert "https://r.example" in screen.facts()
        assert "Pause" not in screen.offers()
        async with ToldAgent().running(paths):
            await screen.until_status("CONNECTED")
        await screen.until_status("STOPPED")


async def test_pause_asks_for_how_long_and_resume_ends_it(paths: AgentPaths) -> None:
    agent = ToldAgent()
    async with agent.running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        await until(lambda: "Pause" in screen.offers() and "Resume" not in screen.offers())
        await screen.pilot.press("p")
        assert isinstance(screen.window.screen, PauseDialog)
        await screen.pilot.press("1")
        await screen.until_status("PAUSED")
        assert agent.asked == [{"command": "pause", "seconds": 600.0}]
        await until(lambda: "Resume" in screen.offers() and "Pause" not in screen.offers())
        await screen.pilot.press("r")
        await screen.until_status("CONNECTED")
        assert agent.asked[1:] == [{"command": "resume"}]


@pytest.mark.parametrize(("key", "seconds"), [("2", 3600.0), ("3", None)])
async def test_pause_lasts_as_long_as_was_chosen(
    paths: AgentPaths, key: str, seconds: float | None
) -> None:
    agent = ToldAgent()
    async with agent.running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        await screen.pilot.press("p", key)
        await until(lambda: bool(agent.asked))
        assert agent.asked == [{"command": "pause", "seconds": seconds}]


async def test_who_thinks_better_of_it_pauses_nothing(paths: AgentPaths) -> None:
    agent = ToldAgent()
    async with agent.running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        await screen.pilot.press("p", "escape")
        assert not isinstance(screen.window.screen, PauseDialog)
        await screen.pilot.press("r")  # there is no pause to end
        await screen.pilot.pause()
        assert agent.asked == []


async def test_refused_pause_says_why(paths: AgentPaths) -> None:
    agent = ToldAgent(refusal="The state folder cannot be written: disk [full].")
    async with agent.running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        await screen.pilot.press("p", "3")
        await until(lambda: len(screen.window._notifications) == 1)
        (told,) = screen.window._notifications
        assert told.message == "The state folder cannot be written: disk [full]."
        assert screen.part("status").startswith("● CONNECTED")


async def test_log_is_live_and_can_be_cleared(paths: AgentPaths) -> None:
    async with ToldAgent().running(paths), window_on(paths) as screen:
        screen.write("request_finished", operation="list", status=200)
        await until(lambda: "finished list  200" in screen.log())
        screen.write("network_changed", level="warning")
        await until(lambda: "! network changed" in screen.log())
        await screen.pilot.press("c")
        assert screen.log() == ""
        screen.write("resumed")
        await until(lambda: "resumed" in screen.log())
        assert "finished" not in screen.log()
        assert "request_finished" in paths.log_file.read_text(), "the file stays"


async def test_who_looks_back_in_the_log_is_left_there(paths: AgentPaths) -> None:
    async with ToldAgent().running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        for number in range(100):
            screen.write(f"event_{number}")
        view = screen.window.query_one(RichLog)
        await until(lambda: "event 99" in screen.log() and view.is_vertical_scroll_end)
        await screen.pilot.pause()  # nothing that was written moves it any more
        await screen.pilot.press("home")
        await until(lambda: view.scroll_offset.y == 0)
        screen.write("later")
        await until(lambda: "later" in screen.log())
        assert view.scroll_offset.y == 0
        await screen.pilot.press("end")
        await until(lambda: view.is_vertical_scroll_end)


async def test_log_stays_at_its_end_when_a_reason_takes_its_room(paths: AgentPaths) -> None:
    agent = ToldAgent()
    async with agent.running(paths), window_on(paths) as screen:
        for number in range(50):
            screen.write(f"event_{number}")
        view = screen.window.query_one(RichLog)
        await until(lambda: "event 49" in screen.log() and view.is_vertical_scroll_end)
        agent.status = status_document(state="offline", error="The relay cannot be reached.")
        await screen.until_status("OFFLINE")
        screen.write("later")
        await until(lambda: "later" in screen.log() and view.is_vertical_scroll_end)
        await screen.pilot.resize_terminal(60, 18)
        await until(lambda: view.size.width < 60 and view.is_vertical_scroll_end)
        screen.write("last")
        await until(lambda: "last" in screen.log() and view.is_vertical_scroll_end)


async def test_last_errors_name_their_calls(paths: AgentPaths) -> None:
    errors = [
        {
            "at": moment(-30),
            "operation": "records.update",
            "resource": "rfis",
            "code": "policy_denied",
            "status": 403,
            "call_id": "call_1",
        },
        {
            "at": moment(-60),
            "operation": "passthrough",
            "resource": None,
            "code": None,
            "status": 404,
            "call_id": "call_2",
        },
    ]
    calls = {"last_minute": 2, "failed_last_minute": 2, "last_errors": errors}
    agent = ToldAgent(status=status_document(calls=calls))
    async with agent.running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        first, second = screen.part("errors").splitlines()
        assert first.endswith("policy_denied  records.update rfis  call_1")
        assert second.endswith("status 404  passthrough  call_2")
        assert "2 a minute, 2 failed" in screen.facts()
        part = screen.window.query_one("#errors")
        await until(lambda: part.region.height == 3)
        agent.status = status_document(calls={**calls, "last_errors": errors[:1]})
        await until(lambda: part.region.height == 2)


async def test_help_explains_keys_and_statuses(paths: AgentPaths) -> None:
    async with ToldAgent().running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        await screen.pilot.press("question_mark")
        assert isinstance(screen.window.screen, HelpDialog)
        told = str(screen.window.screen.query_one(Static).content)
        for word in ("pause", "clear", "CONNECTED", "INTERCEPTED", "NOT ANSWERING"):
            assert word in told
        await screen.pilot.press("escape")
        assert not isinstance(screen.window.screen, HelpDialog)


async def test_nothing_that_is_shown_can_steer_the_terminal(paths: AgentPaths) -> None:
    hostile = "a\x1b[2J\nb[red]c"
    errors = [{"at": moment(0), "operation": hostile, "code": hostile, "call_id": hostile}]
    agent = ToldAgent(
        status=status_document(
            name=hostile,
            error=hostile,
            relay=hostile,
            calls={"last_minute": 1, "failed_last_minute": 1, "last_errors": errors},
        )
    )
    async with agent.running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        for shown in (screen.part("notes"), screen.part("errors"), *screen.facts().splitlines()):
            assert shown.isprintable()
        assert "b[red]c" in screen.facts(), "nor is it markup"


@pytest.mark.parametrize("size", [(200, 60), (80, 24), (60, 16), (40, 10), (20, 5), (8, 3)])
async def test_any_window_shows_the_status_first(paths: AgentPaths, size: tuple[int, int]) -> None:
    async with ToldAgent().running(paths), window_on(paths, size=size) as screen:
        await screen.until_status("CONNECTED")
        status = screen.window.query_one("#status", Static)
        assert status.region.y == 1
        assert status.region.width > 0
        view = screen.window.query_one(RichLog)
        assert view.region.height >= min(3, size[1])


async def test_closing_the_window_tells_the_agent_nothing(paths: AgentPaths) -> None:
    agent = ToldAgent()
    async with agent.running(paths), window_on(paths) as screen:
        await screen.until_status("CONNECTED")
        await screen.pilot.press("q")
        await until(lambda: not screen.window.is_running)
    assert agent.asked == []


async def test_window_that_breaks_leaves_the_telling_to_the_command_line(
    paths: AgentPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def read(self) -> Reading:
            raise RuntimeError("boom")

        def pause(self, seconds: float | None) -> None: ...
        def resume(self) -> None: ...

    window = MonitorWindow(Broken(), log_file=paths.log_file)
    await window.run_async(headless=True)
    assert isinstance(window.failure, RuntimeError)
    told = capsys.readouterr()
    assert "boom" not in told.out + told.err
