"""``cloud-connect monitor`` as a person sees it: a real terminal, a real agent, a real relay."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from doubles.canaries import note
from doubles.terminal import terminal
from doubles.world import World, open_world

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("monitored"), agents=("office",)) as made:
        yield made


async def test_person_watches_a_call_pauses_and_clears(world: World) -> None:
    home = str(world.agent.home)
    caller = await world.caller("office")
    async with terminal(world.folder, "monitor", "--home", home) as screen:
        await screen.shows("● CONNECTED", world.agent.connector_id, "✓ signed in", "q Quit")
        assert screen.colours_of("● CONNECTED").endswith("32m"), "green, and the word says it"
        await caller.create("seen in the window")
        await screen.shows("finished records.create", "1 a minute")
        screen.press("p")
        await screen.shows("Pause this PC?")
        screen.press("1")
        await screen.shows("● PAUSED", "for another", "r Resume")
        assert screen.colours_of("● PAUSED").endswith("33m")
        listed = await world.connector(world.agent)
        assert listed["status"] == "paused"
        screen.press("r")
        await screen.shows("● CONNECTED", "p Pause")
        screen.press("c")
        await screen.shows("Log since")
        await screen.hides("finished records.create")
        note("terminal", screen.everything)
        screen.press("q")
        await screen.shows("ended: 0")


async def test_window_outlives_the_agent_and_shrinks(world: World) -> None:
    home = str(world.agent.home)
    async with terminal(world.folder, "monitor", "--home", home) as screen:
        await screen.shows("● CONNECTED")
        await world.agent.program.stop()
        await screen.shows("● STOPPED", "cloud-connect run", "agent stopped")
        assert screen.colours_of("● STOPPED").endswith("31m")
        screen.resize(40, 10)
        await screen.hides("Procore accounts")
        await screen.shows("● STOPPED", "─Log")
        await world.agent.program.start()
        await screen.shows("● CONNECTED")
        screen.resize(20, 5)
        await screen.hides("q Quit")
        await screen.shows("● CONNECTED")
        screen.press("C-c")
        await screen.shows("ended: 0")


async def test_terminal_without_colours_says_the_same_in_as_many_lines(world: World) -> None:
    await world.until_status("online", within=60)
    caller = await world.caller("office")
    for record in (1, 2):
        missing = f"{caller.base}/records/vendors/{record}"
        assert (await world.api.get(missing)).status_code == 404
    home = str(world.agent.home)
    without = {"NO_COLOR": "1"}
    async with terminal(world.folder, "monitor", "--home", home, environment=without) as screen:
        await screen.shows("● CONNECTED", "2 failed")
        listed, _, _ = screen.text.partition("─Log")
        assert listed.count("records.get vendors") == 2
        assert "\x1b[32m" not in screen.coloured
        assert "32m" not in screen.colours_of("● CONNECTED")


async def test_password_of_an_administrator_is_asked_for_and_never_shown(
    world: World, tmp_path: Path
) -> None:
    made = await world.api.post(
        "/api/users", json={"username": "anna", "role": "operator", "password": "battery-staple-7"}
    )
    assert made.status_code == 201, made.text
    relay = world.relay.ready["api_url"]
    enrol = ("enrol", "--home", str(tmp_path / "pc"), "--relay", relay, "--username", "anna")
    async with terminal(tmp_path, *enrol) as screen:
        await screen.shows("Password of anna")
        screen.type("battery-staple-7")
        screen.press("Enter")
        await screen.shows("This PC is enrolled.", "ended: 0")
        assert "battery" not in screen.everything
