"""The life of a Windows service, with real threads and without Windows."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import doubles.hosted_agent
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.control import ask
from cloud_connect_agent.hosting.windows_host import (
    Accepts,
    Control,
    Outcome,
    Report,
    ServiceHost,
    State,
)
from cloud_connect_agent.hosting.windows_manager import WindowsManager
from cloud_connect_agent.hosting.windows_service import main
from cloud_connect_agent.identity import AgentKeys, Generation
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import open_vault
from doubles.waiting import until_seen

KEY = "_TPdZ_gpPVVE1kJY5udNrW0jZrZ2Uyqe8m2XdmHjHVM"
TICK = 0.02
PROGRAM = Path(doubles.hosted_agent.__file__)


class Heard(list[Report]):
    """What Windows heard."""

    def states(self) -> list[State]:
        found: list[State] = []
        for report in self:
            if not found or found[-1] is not report.state:
                found.append(report.state)
        return found


class Hosted:
    """A service that runs in a thread of its own, as Windows gives it one."""

    def __init__(self, agent: Callable[["Hosted"], Outcome], **limits: float) -> None:
        self.heard = Heard()
        self.host = ServiceHost(self.heard.append, tick=TICK, **limits)
        self.outcome: Outcome | None = None
        self.agent = agent
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        self.outcome = self.host.serve(lambda: self.agent(self))
        self.host.stopped(self.outcome)

    def until(self, state: State) -> None:
        until_seen(lambda: bool(self.heard) and self.heard[-1].state is state)

    def ended(self) -> Outcome:
        self.thread.join(20)
        assert self.outcome is not None
        return self.outcome


@contextmanager
def hosted(agent: Callable[[Hosted], Outcome], **limits: float) -> Iterator[Hosted]:
    made = Hosted(agent, **limits)
    made.thread.start()
    try:
        yield made
    finally:
        made.host.told(Control.STOP)
        made.thread.join(20)


def obedient(one: Hosted) -> Outcome:
    """Start, and end when told to."""
    stopped = threading.Event()
    one.host.listen(stop=stopped.set, reload=lambda: None)
    one.host.ready()
    while not stopped.wait(TICK / 4):
        one.host.alive()
    return Outcome(exit_status=0)


def test_windows_hears_of_start_and_end_in_order() -> None:
    with hosted(obedient) as one:
        one.until(State.RUNNING)
        one.host.told(Control.STOP)
        assert one.ended() == Outcome(exit_status=0)
    assert one.heard[0] == Report(state=State.START_PENDING, progress=1, hint_ms=20_000)
    assert one.heard.states() == [
        State.START_PENDING,
        State.RUNNING,
        State.STOP_PENDING,
        State.STOPPED,
    ]
    assert one.heard[-1].as_windows_takes_it() == (0x10, 1, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("control", [Control.STOP, Control.PRESHUTDOWN, Control.SHUTDOWN])
def test_while_it_drains_windows_sees_progress(control: Control) -> None:
    drained = threading.Event()

    def draining(one: Hosted) -> Outcome:
        obedient(one)
        drained.wait(10)
        return Outcome(exit_status=0)

    with hosted(draining) as one:
        one.until(State.RUNNING)
        one.host.told(control)
        until_seen(lambda: one.heard[-1].progress >= 4)
        drained.set()
        one.ended()
    pending = [report for report in one.heard if report.state is State.STOP_PENDING]
    assert [report.progress for report in pending] == list(range(1, len(pending) + 1))
    assert all(report.hint_ms > 1000 * TICK for report in pending)
    assert all(report.accepts is Accepts.NOTHING for report in pending)


def test_while_it_starts_windows_sees_progress_and_asks_nothing() -> None:
    loaded = threading.Event()

    def slow(one: Hosted) -> Outcome:
        loaded.wait(10)
        return obedient(one)

    with hosted(slow) as one:
        until_seen(lambda: one.heard and one.heard[-1].progress >= 3)
        loaded.set()
        one.until(State.RUNNING)
    running = next(report for report in one.heard if report.state is State.RUNNING)
    assert running.accepts == Accepts.STOP | Accepts.PARAMETERS | Accepts.PRESHUTDOWN
    assert int(running.accepts) == 0x109


def test_a_stop_that_comes_before_the_agent_listens_is_not_lost() -> None:
    told = threading.Event()

    def late(one: Hosted) -> Outcome:
        told.wait(10)
        until_seen(lambda: one.heard[-1].state is State.STOP_PENDING)
        return obedient(one)

    with hosted(late) as one:
        one.host.told(Control.STOP)
        told.set()
        assert one.ended().exit_status == 0
    assert State.RUNNING not in one.heard.states()


def test_changed_parameters_are_a_wish_to_reload() -> None:
    reloaded = threading.Event()

    def reloading(one: Hosted) -> Outcome:
        one.host.listen(stop=lambda: None, reload=reloaded.set)
        one.host.ready()
        assert reloaded.wait(10)
        one.host.unlisten()
        return Outcome(exit_status=0)

    with hosted(reloading) as one:
        one.until(State.RUNNING)
        one.host.told(Control.PARAMETERS)
        one.host.told(0x4D)  # nothing of ours
        one.ended()
    assert reloaded.is_set()


def test_windows_may_ask_how_it_fares() -> None:
    with hosted(obedient) as one:
        one.until(State.RUNNING)
        before = len(one.heard)
        one.host.told(Control.INTERROGATE)
        until_seen(lambda: len(one.heard) > before)
        assert one.heard[-1].state is State.RUNNING


def test_an_agent_that_fails_has_windows_start_it_again() -> None:
    with hosted(lambda _: Outcome(exit_status=1, reason="The disk is full.")) as one:
        assert one.ended().reason == "The disk is full."
    kind, state, _, code, own, *_ = one.heard[-1].as_windows_takes_it()
    assert (kind, state, code, own) == (0x10, 1, 1066, 1)


def test_where_a_person_has_to_act_windows_does_not_start_it_again() -> None:
    with hosted(lambda _: Outcome(exit_status=78, reason="Bad setting.", helpless=True)) as one:
        assert one.ended().exit_status == 78
    assert one.heard[-1].as_windows_takes_it()[3:5] == (0, 0)


def test_an_agent_that_ends_without_a_word_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def broken(_: Hosted) -> Outcome:
        raise SystemExit(3)

    with hosted(broken) as one:
        assert one.ended().exit_status == 1


def test_an_agent_whose_loop_hangs_is_given_up() -> None:
    free = threading.Event()

    def hanging(one: Hosted) -> Outcome:
        one.host.ready()
        one.host.alive()
        free.wait(15)
        return Outcome(exit_status=0)

    with hosted(hanging, hung_seconds=5 * TICK) as one:
        outcome = one.ended()
        free.set()
    assert (outcome.hung, outcome.exit_status) == (True, 1)
    assert outcome.reason is not None
    assert "no sign of life" in outcome.reason


@pytest.mark.parametrize("starts", [False, True])
def test_windows_does_not_wait_for_ever(*, starts: bool) -> None:
    free = threading.Event()

    def endless(one: Hosted) -> Outcome:
        if starts:
            one.host.ready()
        free.wait(15)
        return Outcome(exit_status=0)

    with hosted(endless, start_seconds=6 * TICK, stop_seconds=6 * TICK) as one:
        if starts:
            one.until(State.RUNNING)
            one.host.told(Control.STOP)
        outcome = one.ended()
        free.set()
    assert outcome.hung
    assert outcome.reason is not None
    assert ("did not end" if starts else "did not start") in outcome.reason


async def enrolled(home: Path) -> None:
    paths = AgentPaths.of(home)
    paths.create()
    async with open_vault(paths) as vault:
        keys = AgentKeys(vault)
        await keys.adopt(await keys.candidate())
    await Generation(paths.generation_file).store(1)
    change_settings(
        paths,
        {
            ("relay", "url"): "http://127.0.0.1:9",
            ("relay", "tunnel_url"): "ws://127.0.0.1:9/tunnel",
            ("relay", "connector_id"): "con_1",
            ("relay", "relay_id"): "rel_1",
            ("relay", "relay_public_key"): KEY,
        },
    )


class Service:
    """The agent, hosted in a process of its own."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def hears(self) -> Any:
        """Return the next thing that Windows would be told."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def until(self, state: State) -> Any:
        while (heard := self.hears())[1] != state:
            assert heard[1] != State.STOPPED
        return heard

    def told(self, control: Control) -> None:
        assert self.process.stdin is not None
        print(int(control), file=self.process.stdin, flush=True)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[[], Service]]:
    made: list[Service] = []

    def make() -> Service:
        made.append(Service(tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.communicate(timeout=20)


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_the_agent_runs_in_the_hosts_thread_reloads_and_drains_when_told(
    tmp_path: Path, service: Callable[[], Service]
) -> None:
    await enrolled(tmp_path)
    one = service()
    one.until(State.RUNNING)
    control = AgentPaths.of(tmp_path).control_socket
    assert ask(control, {"command": "status"})["ok"]
    one.told(Control.PARAMETERS)
    log = AgentPaths.of(tmp_path).log_file
    until_seen(lambda: '"event":"reloaded"' in log.read_text())
    one.told(Control.PRESHUTDOWN)
    one.until(State.STOP_PENDING)
    one.until(State.STOPPED)
    assert one.hears() == asdict(Outcome(exit_status=0))
    assert one.process.wait(20) == 0


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_an_agent_that_is_not_enrolled_is_left_alone_with_a_sentence(
    service: Callable[[], Service],
) -> None:
    one = service()
    assert one.until(State.STOPPED)[3:5] == [0, 0]  # which Windows does not restart
    outcome = one.hears()
    assert (outcome["exit_status"], outcome["helpless"]) == (3, True)
    assert "enrol" in outcome["reason"]


class Agent:
    is_stuck = False
    summary = "Connected"


async def test_a_stuck_agent_gives_no_sign_of_life() -> None:
    agent, beats = Agent(), list[float]()

    class Host(ServiceHost):
        def alive(self) -> None:
            beats.append(1)

    manager = WindowsManager(Host(lambda _: None), beat_seconds=0.001)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(manager.attend(agent))
        while not beats:
            await asyncio.sleep(0)
        agent.is_stuck = True
        seen = len(beats)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert len(beats) <= seen + 1
        task.cancel()


def test_a_person_who_starts_it_is_told_what_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--name", "CloudConnect", "--home", "x"]) == 2
    assert "cloud-connect run" in capsys.readouterr().err
