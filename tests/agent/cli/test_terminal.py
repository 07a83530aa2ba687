"""Tests of what a person at a terminal sees."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.cli.conftest import Cli, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: str, home: Path) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cloud_connect_agent", "--home", str(home), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def expect(self, said: str) -> None:
        deadline = time.monotonic() + 30
        while said not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def end(self) -> int:
        while self._read():
            pass
        status = self.process.wait(30)
        os.close(self._master)
        return status

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 30)
        try:
            found = os.read(self._master, 65536) if ready else b""
        except OSError:  # Linux says so when the other end is closed
            return False
        self.text += found.decode()
        return bool(found)


def test_a_secret_is_asked_for_and_not_shown(home: Path, cli: Cli) -> None:
    terminal = Terminal(
        *("procore", "app", "--environment", "live", "--client-id", "abc"), home=home
    )
    terminal.expect("Client secret: ")
    terminal.type("typed-secret\n")
    assert terminal.end() == 0
    assert "typed-secret" not in terminal.text
    assert "abc" in cli("procore", "list").output


def test_nothing_typed_is_wrong_usage(home: Path) -> None:
    terminal = Terminal("enrol", "--relay", "http://127.0.0.1:9", home=home)
    terminal.expect("Join token: ")
    terminal.type("\n")
    assert terminal.end() == 2
    assert "is empty" in terminal.text


def test_ctrl_c_at_a_question_ends_quietly(home: Path) -> None:
    terminal = Terminal("enrol", "--relay", "http://127.0.0.1:9", home=home)
    terminal.expect("Join token: ")
    terminal.type("\x03")
    terminal.process.send_signal(2)
    assert terminal.end() == 1
    assert "Stopped." in terminal.text
    assert "Traceback" not in terminal.text


def test_leaving_is_asked_for_and_can_be_declined(home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "agent.toml").write_text(
        '[relay]\nconnector_id = "con_1"\ntunnel_url = "ws://127.0.0.1:9/tunnel"\n'
    )
    terminal = Terminal("unenrol", home=home)
    terminal.expect("[y/N]")
    terminal.type("n\n")
    assert terminal.end() == 1
    assert (home / "agent.toml").exists()
    terminal = Terminal("unenrol", home=home)
    terminal.expect("[y/N]")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert not home.exists()


def test_colour_is_for_terminals_only(home: Path, cli: Cli) -> None:
    terminal = Terminal("status", home=home)
    assert terminal.end() == 3
    assert "\x1b[" in terminal.text
    assert "\x1b[" not in cli("status").output


def test_a_reader_that_goes_away_is_no_failure_to_talk_about(home: Path) -> None:
    (home / "logs").mkdir(parents=True, mode=0o700)
    (home / "logs" / "agent.log").write_text("a line of the log\n" * 20_000)
    with subprocess.Popen(
        [sys.executable, "-m", "cloud_connect_agent", "logs", "-n", "20000", "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(30) == 1
    assert said == b""


def test_marks_are_plain_where_the_terminal_knows_no_others(home: Path) -> None:
    ended = run(home, "policy", "check", "--operation", "list", PYTHONIOENCODING="ascii")
    assert ended.status == 6
    assert ended.output.startswith("x ")


def test_debug_shows_where_an_error_comes_from(home: Path) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "cloud_connect_agent", "--home", str(home), "--debug"),
            *("pause", "--for", "1m"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3
    assert "NotEnrolledError" in ended.stderr
