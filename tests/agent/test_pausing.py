"""A pause on the PC: kept over restarts, never longer than it was asked for."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud_connect_agent.pausing import Clocks, Pause


@dataclass
class Time:
    """Both clocks, as a test sets them."""

    monotonic: float = 50.0
    wall: float = 1_800_000_000.0

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    @property
    def clocks(self) -> Clocks:
        return Clocks(monotonic=lambda: self.monotonic, wall=lambda: self.wall)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pause.json"


def test_pause_goes_on_in_the_next_process_for_the_rest_of_its_time(time: Time, file: Path) -> None:
    Pause(file, clocks=time.clocks).begin(600)
    time.pass_by(200)
    time.monotonic = 3.0  # another boot
    pause = Pause.load(file, clocks=time.clocks)
    assert pause.active
    assert pause.seconds_left == pytest.approx(400)
    time.pass_by(401)
    assert pause.seconds_left is None
    assert not Pause.load(file, clocks=time.clocks).active


def test_pause_that_has_ended_does_not_come_back_with_a_clock_that_is_set_back(
    time: Time, file: Path
) -> None:
    pause = Pause(file, clocks=time.clocks)
    pause.begin(600)
    time.pass_by(601)
    assert not pause.active
    time.wall -= 86400  # it had been a day ahead
    assert not Pause.load(file, clocks=time.clocks).active
    pause.begin(600)
    time.pass_by(601)
    assert not Pause.load(file, clocks=time.clocks).active
    time.wall -= 86400
    assert not Pause.load(file, clocks=time.clocks).active


def test_pause_without_an_end_lasts_until_somebody_resumes(time: Time, file: Path) -> None:
    Pause(file, clocks=time.clocks).begin(None)
    time.pass_by(10**8)
    pause = Pause.load(file, clocks=time.clocks)
    assert pause.active
    assert pause.seconds_left is None
    pause.end()
    assert not Pause.load(file, clocks=time.clocks).active


def test_clock_that_was_set_back_makes_a_pause_no_longer(time: Time, file: Path) -> None:
    Pause(file, clocks=time.clocks).begin(600)
    time.wall -= 86_400
    assert Pause.load(file, clocks=time.clocks).seconds_left == pytest.approx(600)


def test_clock_that_is_set_does_not_move_a_pause_of_this_process(time: Time, file: Path) -> None:
    pause = Pause(file, clocks=time.clocks)
    pause.begin(600)
    time.wall += 86_400
    assert pause.seconds_left == pytest.approx(600)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"began": "x", "seconds": 5}', b"[]"])
def test_damaged_pause_is_one_until_a_person_decides(
    time: Time, file: Path, content: bytes
) -> None:
    file.write_bytes(content)
    pause = Pause.load(file, clocks=time.clocks)
    assert pause.active
    pause.end()
    assert not file.exists()


def test_pause_that_cannot_be_kept_is_none(time: Time, tmp_path: Path) -> None:
    pause = Pause(tmp_path / "missing" / "pause.json", clocks=time.clocks)
    with pytest.raises(OSError, match="missing"):
        pause.begin(60)
    assert not pause.active
