"""An agent without Procore that takes files in and hangs them on records."""

import hashlib

import orjson

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.scripted_agent import ScriptedAgent

__all__ = ["FILE", "NAMED", "take_in", "told", "uploading_agent"]

FILE = b"\x89PNG" * 50_000
NAMED = {"filename": "plan.pdf", "content_type": "application/pdf"}
_JSON = (("content-type", "application/json"),)


def told(body: bytes) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return orjson.dumps({"uuid": "01UUID", "size": len(body), "sha256": digest})


async def take_in(exchange: Exchange, body: bytes) -> None:
    await exchange.send_head(ResponseHead(status=201, headers=_JSON, outcome=Outcome.COMPLETED))
    await exchange.send(told(body), end_stream=True)


def uploading_agent() -> ScriptedAgent:
    made = ScriptedAgent()

    async def attach(exchange: Exchange, _: bytes) -> None:
        head = ResponseHead(status=200, headers=_JSON, outcome=Outcome.COMPLETED)
        await made.write(exchange, b'{"id":7}', head=head)

    made.script = {Operation.UPLOAD: take_in, Operation.ATTACH: attach}
    return made
