"""The tunnel protocol without I/O: what both ends and the tests share."""

from cloud_connect.tunnel.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    PingAnswered,
    RequestReceived,
    ResponseReceived,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    StreamWritable,
    TrailersReceived,
)
from cloud_connect.tunnel.frames import Frame, FrameType, GoAwayCode, ResetCode
from cloud_connect.tunnel.heads import Header, Problem, RequestHead, ResponseHead, Trailers
from cloud_connect.tunnel.limits import MAX_HEAD_BYTES, MAX_MESSAGE_BYTES, Limits
from cloud_connect.tunnel.multiplexer import Multiplexer, Role

__all__ = [
    "MAX_HEAD_BYTES",
    "MAX_MESSAGE_BYTES",
    "DataReceived",
    "Event",
    "Frame",
    "FrameType",
    "GoAwayCode",
    "GoAwayReceived",
    "Header",
    "Limits",
    "Multiplexer",
    "PingAnswered",
    "Problem",
    "RequestHead",
    "RequestReceived",
    "ResetCode",
    "ResponseHead",
    "ResponseReceived",
    "Role",
    "SettingsReceived",
    "StreamClosed",
    "StreamReset",
    "StreamWritable",
    "Trailers",
    "TrailersReceived",
]
