"""Every reader of strangers' bytes, fuzzed: a refusal or a value, and never anything else."""

import asyncio
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from websockets.protocol import State

from cloud_connect.errors import RemoteProtocolError
from cloud_connect.guarded_links import GuardedServerProtocol
from cloud_connect.tunnel import DataReceived, Frame, FrameType, Multiplexer, StreamReset
from doubles.raw_frames import BINARY, ws_frame
from doubles.tunnel_pair import GET_PROJECTS, OK, TunnelPair
from fuzz.targets import SEEDS, TARGETS, Target

TESTS: Final = Path(__file__).parent.parent
SECONDS: Final = int(os.environ.get("CLOUD_CONNECT_FUZZ_SECONDS", "600"))
AT_ONCE: Final = 2
PIECES: Final = st.lists(
    st.binary(max_size=40)
    | st.sampled_from(
        [b"\r\n", b"\n", b": ", b'{"', b'":', b"[", b"}", b"\\u", b"%2e", b"\x89\x80"]
    )
    | st.sampled_from([seed for seeds in SEEDS.values() for seed in seeds]),
    max_size=20,
).map(b"".join)


@pytest.mark.catalogue("T87")
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_any_bytes_are_read_or_refused(name: str) -> None:
    target: Target = TARGETS[name]

    @settings(max_examples=80, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=300) | PIECES)
    def try_it(data: bytes) -> None:
        target(data)

    for seed in SEEDS.get(name, ()):
        for end in range(len(seed) + 1):
            target(seed[:end])
        try_it = example(seed)(try_it)
    try_it()


def call_of_a_session() -> list[bytes]:
    """What a relay sends for one call and its cancel, message by message."""
    tunnel = TunnelPair()
    sent: list[bytes] = []

    def exchange() -> None:
        while messages := list(tunnel.relay.messages_to_send()):
            sent.extend(messages)
            for message in messages:
                tunnel.agent_events += tunnel.agent.receive_frame(message, now=tunnel.now)
            tunnel.to_relay()

    exchange()
    tunnel.to_relay()
    exchange()
    first = tunnel.relay.open_stream(GET_PROJECTS, now=tunnel.now)
    tunnel.relay.send_data(first, b"body", end_stream=True)
    exchange()
    tunnel.agent.send_head(first, OK, end_stream=True)
    tunnel.to_relay()
    tunnel.relay.ping(now=tunnel.now)
    exchange()
    return sent


@pytest.mark.catalogue("T87")
def test_stream_cut_anywhere_or_given_byte_by_byte_reads_as_its_whole_messages() -> None:
    wire = b"".join(ws_frame(BINARY, message, mask=True) for message in call_of_a_session())

    def read(pieces: Iterator[bytes]) -> tuple[list[object], State]:
        link = GuardedServerProtocol(state=State.OPEN, max_size=128 * 1024)
        agent = TunnelPair().agent
        found: list[object] = []
        for piece in pieces:
            link.receive_data(piece)
            for frame in link.events_received():
                found += agent.receive_frame(bytes(frame.data), now=1.0)  # type: ignore[union-attr]
        link.receive_eof()
        return found, link.state

    whole, state = read(iter([wire]))
    assert len(whole) >= 3
    assert read(wire[at : at + 1] for at in range(len(wire))) == (whole, state)
    for end in range(len(wire)):
        part, _ = read(iter([wire[:end]]))
        assert part == whole[: len(part)]


class Tampering(RuleBasedStateMachine):
    """Two ends that work, and somebody who changes what the relay's end says."""

    def __init__(self) -> None:
        super().__init__()
        self.tunnel = TunnelPair.introduced()
        self.broken = False

    @rule(end=st.booleans(), size=st.integers(0, 5000))
    def call(self, *, end: bool, size: int) -> None:
        stream = self.tunnel.relay.open_stream(GET_PROJECTS, now=self.tunnel.now)
        self.tunnel.relay.send_data(stream, bytes(size), end_stream=end)

    @rule()
    def pass_on(self) -> None:
        for message in list(self.tunnel.relay.messages_to_send()):
            self._deliver(message)

    @rule(place=st.integers(0, 2000), byte=st.integers(0, 255))
    def change(self, *, place: int, byte: int) -> None:
        for message in list(self.tunnel.relay.messages_to_send()):
            changed = bytearray(message)
            changed[place % len(changed)] = byte
            self._deliver(bytes(changed))

    @rule(
        kind=st.sampled_from(list(FrameType)) | st.integers(0, 255),
        flags=st.integers(0, 3),
        stream_id=st.integers(0, 9),
        payload=st.binary(max_size=20) | st.sampled_from([bytes(8), bytes(4)]),
    )
    def inject(self, *, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        self._deliver(Frame(kind=kind, flags=flags, stream_id=stream_id, payload=payload).encode())

    @rule(seconds=st.floats(0, 30))
    def wait(self, *, seconds: float) -> None:
        self.tunnel.now += seconds

    def _deliver(self, message: bytes) -> None:
        agent: Multiplexer = self.tunnel.agent
        try:
            events = agent.receive_frame(message, now=self.tunnel.now)
        except RemoteProtocolError:
            self.broken = True
            return
        for event in events:
            match event:
                case DataReceived(stream_id=stream_id, data=data):
                    agent.consume(stream_id, len(data), now=self.tunnel.now)
                case StreamReset(stream_id=stream_id):
                    agent.confirm_reset(stream_id)
                case _:
                    pass

    @invariant()
    def what_goes_out_is_well_formed_and_bounded(self) -> None:
        for message in list(self.tunnel.agent.messages_to_send()):
            assert Frame.decode(message)
        assert self.tunnel.agent.open_streams <= 2048


Tampering.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, suppress_health_check=list(HealthCheck), deadline=None
)
TestTampering = pytest.mark.catalogue("T87")(Tampering.TestCase)


@pytest.mark.nightly
@pytest.mark.catalogue("T87")
@pytest.mark.timeout(SECONDS * 2 + 600)
async def test_no_reader_breaks_hangs_or_swells_while_it_is_fuzzed_by_coverage(
    tmp_path: Path,
) -> None:
    if find_spec("atheris") is None:
        pytest.skip("atheris is not installed; see tests/fuzz/requirements.txt")
    each = max(1, SECONDS * AT_ONCE // len(TARGETS))
    turns = asyncio.Semaphore(AT_ONCE)
    failed: dict[str, str] = {}

    async def one(name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        for number, seed in enumerate(SEEDS.get(name, ())):
            (folder / f"seed-{number}").write_bytes(seed)
        async with turns:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "fuzz.coverage_guided", name, str(folder)),
                *(f"-max_total_time={each}", "-timeout=20", "-rss_limit_mb=300"),
                *("-max_len=2000", f"-artifact_prefix={tmp_path}/{name}-", "-print_final_stats=1"),
                env={**os.environ, "PYTHONPATH": str(TESTS)},
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await process.communicate()
        text = said.decode(errors="replace")
        if process.returncode:
            failed[name] = text[-1500:]
        stats = [
            line for line in text.splitlines() if "executed_units" in line or "peak_rss" in line
        ]
        print(f"T87: {name}: {each} s; {'; '.join(stats)}")  # noqa: T201

    async with asyncio.TaskGroup() as tasks:
        for name in TARGETS:
            tasks.create_task(one(name))
    assert not failed, "\n".join(f"{name}: {end}" for name, end in failed.items())
