"""Two endpoints of the simulator's own, for bodies of any size in constant memory."""

import hashlib
import random

from procore_simulator.delivery import Delivery
from procore_simulator.failures import bad_request
from procore_simulator.inputs import to_integer
from procore_simulator.ledger import AuditEntry, Ledger
from procore_simulator.messages import CallerLeftError, Reply, Request, json_reply

__all__ = ["BLOB_PATH", "SINK_PATH", "send_blob", "swallow"]

BLOB_PATH = "/rest/v1.0/simulator/blob"
SINK_PATH = "/rest/v1.0/simulator/sink"

_BLOCK = random.Random(20_260_101).randbytes(65_536)
"""What every blob repeats; fixed, so that equal sizes have equal bytes."""


async def send_blob(request: Request, delivery: Delivery) -> None:
    """Stream ``size`` deterministic bytes; ``chunked=true`` leaves the length out.

    Raises:
        ApiError: 400 if ``size`` is no number.
    """
    size = to_integer(request.argument("size") or "1024")
    if size is None or size < 0:
        raise bad_request("size must be a number of bytes", fields="size")
    chunked = request.argument("chunked") == "true"
    kind = request.argument("type") or "application/octet-stream"
    await delivery.start(Reply(content_type=kind), size=size, chunked=chunked)
    left = size
    while left > len(_BLOCK):
        if delivery.is_cut:
            return
        await delivery.piece(_BLOCK)
        left -= len(_BLOCK)
    await delivery.piece(_BLOCK[:left], more=False)
    delivery.answered()


async def swallow(request: Request, entry: AuditEntry, ledger: Ledger) -> Reply:
    """Read a body of any size and answer with its size and SHA-256."""
    digest = hashlib.sha256()
    size = 0
    try:
        async for piece in request.pieces():
            size += len(piece)
            digest.update(piece)
    except CallerLeftError:
        entry.ended = "disconnected"
        ledger.counters["sinks_cut_short"] += 1
        return json_reply({"size": size, "complete": False}, status=400)
    entry.body_bytes = size
    entry.body_sha256 = digest.hexdigest()
    entry.executed = True
    ledger.counters["sink_bytes"] += size
    return json_reply({"size": size, "sha256": entry.body_sha256}, status=200)
