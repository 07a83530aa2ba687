import pytest

from cloud_connect.closing import CloseCode
from cloud_connect.ending import ending_of
from cloud_connect.errors import LocalProtocolError, RemoteProtocolError, TunnelClosedError


@pytest.mark.parametrize("orderly", [True, False])
def test_peer_that_breaks_the_protocol_reads_why(*, orderly: bool) -> None:
    ending = ending_of(RemoteProtocolError("second SETTINGS"), orderly=orderly)
    assert (ending.code, ending.reason) == (CloseCode.PROTOCOL_ERROR, "second SETTINGS")
    assert isinstance(ending.error, TunnelClosedError)
    assert "second SETTINGS" in ending.error.message


def test_verdict_is_raised_as_it_is() -> None:
    error = TunnelClosedError("silent: nothing was received for 25 s")
    ending = ending_of(error, orderly=True)
    assert (ending.error, ending.code, ending.reason) == (
        error,
        CloseCode.GOING_AWAY,
        error.message,
    )


def test_fault_of_ours_tells_the_peer_nothing() -> None:
    error = LocalProtocolError("details")
    ending = ending_of(error, orderly=False)
    assert (ending.error, ending.code, ending.reason) == (
        error,
        CloseCode.INTERNAL_ERROR,
        "internal error",
    )


def test_link_that_goes_after_a_drain_is_no_error() -> None:
    assert ending_of(EOFError(), orderly=True).error is None


@pytest.mark.parametrize(("exc", "text"), [(EOFError(), "EOFError"), (OSError("reset"), "reset")])
def test_link_that_goes_otherwise_was_lost(exc: Exception, text: str) -> None:
    ending = ending_of(exc, orderly=False)
    assert isinstance(ending.error, TunnelClosedError)
    assert ending.error.message == f"the link was lost: {text}"
    assert ending.error.__cause__ is exc
