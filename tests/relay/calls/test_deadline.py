import pytest

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.calls.deadline import hop_deadline_ms, timeout_of
from cloud_connect_relay.settings import CallSettings

SETTINGS = CallSettings()


def test_call_without_a_header_has_a_minute() -> None:
    assert timeout_of(None, SETTINGS) == 60


@pytest.mark.parametrize(("text", "seconds"), [("1", 0.001), (" 1500 ", 1.5), ("300000", 300)])
def test_header_says_milliseconds(text: str, seconds: float) -> None:
    assert timeout_of(text, SETTINGS) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.5", "1e3", "300001", "9" * 5000, "soon", "٣", "0x10", "1 2"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="Cloud-Connect-Deadline-Ms"):
        timeout_of(text, SETTINGS)


def test_agent_has_half_a_second_less_and_of_a_short_deadline_a_tenth() -> None:
    assert hop_deadline_ms(60) == 59_500
    assert hop_deadline_ms(1) == 900
    assert hop_deadline_ms(0) == 1
    assert hop_deadline_ms(-5) == 1
