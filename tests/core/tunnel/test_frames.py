import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import RemoteProtocolError
from cloud_connect.tunnel.frames import (
    Flag,
    Frame,
    FrameType,
    GoAwayCode,
    ResetCode,
    Setting,
    decode_goaway,
    decode_reset,
    decode_settings,
    decode_window_update,
    encode_goaway,
    encode_settings,
    pack_reset,
    pack_window_update,
)
from cloud_connect.tunnel.limits import MAX_DATA_BYTES, MAX_MESSAGE_BYTES

frames = st.builds(
    Frame,
    kind=st.sampled_from(list(FrameType)) | st.integers(0, 255),
    flags=st.integers(0, 255),
    stream_id=st.integers(0, 2**32 - 1),
    payload=st.just(b""),
)


@given(st.lists(frames, min_size=1, max_size=20))
def test_frames_of_a_message_come_out_as_they_went_in(sent: list[Frame]) -> None:
    assert list(Frame.decode(b"".join(frame.encode() for frame in sent))) == sent


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_a_protocol_error(message: bytes) -> None:
    try:
        decoded = Frame.decode(message)
    except RemoteProtocolError:
        return
    assert b"".join(frame.encode() for frame in decoded) == message


def test_frame_layout_is_length_type_flags_stream_payload() -> None:
    frame = Frame(kind=FrameType.DATA, flags=Flag.END_STREAM, stream_id=5, payload=b"abc")
    assert frame.encode().hex() == "000003" + "00" + "01" + "00000005" + "616263"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "without a frame"),
        (b"\0" * 8, "within a frame header"),
        (Frame(kind=FrameType.DATA, stream_id=1, payload=b"abc").encode()[:-1], "within a frame"),
        (Frame(kind=FrameType.DATA, payload=bytes(MAX_DATA_BYTES + 1)).encode(), "too long"),
        (Frame(kind=FrameType.HEADERS, payload=bytes(16385)).encode(), "too long"),
        (Frame(kind=FrameType.RST_STREAM, payload=bytes(5)).encode(), "too long"),
        (Frame(kind=FrameType.SETTINGS, payload=bytes(65 * 6)).encode(), "too long"),
        (Frame(kind=FrameType.PING, payload=bytes(9)).encode(), "too long"),
        (Frame(kind=FrameType.GOAWAY, payload=bytes(1033)).encode(), "too long"),
        (Frame(kind=FrameType.WINDOW_UPDATE, payload=bytes(9)).encode(), "too long"),
        (Frame(kind=99, payload=bytes(MAX_DATA_BYTES + 1)).encode(), "too long"),
        (bytes(MAX_MESSAGE_BYTES + 1), "over 131072"),
    ],
)
def test_message_that_is_no_sequence_of_whole_bounded_frames_is_refused(
    message: bytes, reason: str
) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        Frame.decode(message)


def test_settings_come_out_as_they_went_in() -> None:
    (frame,) = Frame.decode(encode_settings({Setting.MAX_STREAMS: 7, Setting.VERSION_MAX: 1}))
    assert decode_settings(frame.payload) == {Setting.MAX_STREAMS: 7, Setting.VERSION_MAX: 1}


def test_settings_with_a_broken_entry_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="multiple of 6"):
        decode_settings(bytes(7))


def test_settings_that_name_one_twice_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="twice"):
        decode_settings(bytes(12))


def test_reset_code_comes_out_as_it_went_in() -> None:
    (frame,) = Frame.decode(pack_reset(3, ResetCode.SLOW))
    assert decode_reset(frame.payload) is ResetCode.SLOW


def test_unknown_reset_code_reads_as_internal() -> None:
    assert decode_reset(b"\0\0\1\0") is ResetCode.INTERNAL


def test_reset_of_another_size_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="4 bytes"):
        decode_reset(b"")


def test_window_update_comes_out_as_it_went_in() -> None:
    (frame,) = Frame.decode(pack_window_update(3, 10, 20))
    assert decode_window_update(frame.payload) == (10, 20)


def test_window_update_of_another_size_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="8 bytes"):
        decode_window_update(bytes(4))


def test_goaway_comes_out_as_it_went_in() -> None:
    (frame,) = Frame.decode(encode_goaway(GoAwayCode.RESTART, 30_000, "neu gestartet ✓"))
    assert decode_goaway(frame.payload) == (GoAwayCode.RESTART, 30_000, "neu gestartet ✓")


def test_goaway_reason_is_cut_at_its_limit_even_within_a_character() -> None:
    (frame,) = Frame.decode(encode_goaway(GoAwayCode.NO_ERROR, 0, "é" * 1024 + "x"))
    assert len(frame.payload) == 8 + 1024


def test_unknown_goaway_code_reads_as_no_error() -> None:
    assert decode_goaway(b"\0\0\0\x63" + bytes(4))[0] is GoAwayCode.NO_ERROR


def test_goaway_that_is_too_short_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="shorter"):
        decode_goaway(bytes(7))
