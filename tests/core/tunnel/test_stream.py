import pytest

from cloud_connect.errors import LocalProtocolError, RemoteProtocolError
from cloud_connect.tunnel.stream import ON_RECEIVE, ON_SEND, Signal, Stream, StreamState
from cloud_connect.tunnel.window import ReceiveWindow, SendWindow


def stream_in(state: StreamState) -> Stream:
    stream = Stream(1, local=True, send_window=SendWindow(1), receive_window=ReceiveWindow(1, 1))
    stream.state = state
    return stream


@pytest.mark.parametrize("state", StreamState)
@pytest.mark.parametrize("signal", Signal)
def test_what_the_table_lacks_breaks_the_protocol(state: StreamState, signal: Signal) -> None:
    stream = stream_in(state)
    if (state, signal) in ON_SEND:
        stream.sent(signal)
        assert stream.state is ON_SEND[state, signal]
    else:
        with pytest.raises(LocalProtocolError, match=signal.name):
            stream.sent(signal)
    stream = stream_in(state)
    if (state, signal) in ON_RECEIVE:
        stream.received(signal)
        assert stream.state is ON_RECEIVE[state, signal]
    else:
        with pytest.raises(RemoteProtocolError, match=signal.name):
            stream.received(signal)


def test_closed_is_the_end() -> None:
    assert not [pair for pair in (*ON_SEND, *ON_RECEIVE) if pair[0] is StreamState.CLOSED]


def test_every_state_leads_to_closed() -> None:
    reached = {StreamState.CLOSED}
    transitions = [*ON_SEND.items(), *ON_RECEIVE.items()]
    for _ in StreamState:
        reached |= {state for (state, _), after in transitions if after in reached}
    assert reached == set(StreamState)


def test_nothing_follows_the_peers_end_even_while_a_reset_is_on_its_way() -> None:
    stream = stream_in(StreamState.RESET_SENT)
    stream.remote_ended = True
    for signal in (Signal.HEAD, Signal.DATA, Signal.END_STREAM):
        with pytest.raises(RemoteProtocolError):
            stream.received(signal)
    stream.received(Signal.CONFIRM)
    assert stream.state is StreamState.CLOSED
