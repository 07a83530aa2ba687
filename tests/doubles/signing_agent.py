"""An agent that signs people in and tests connections, as its script says."""

import json
from typing import Any
from urllib.parse import urlencode

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.scripted_agent import ScriptedAgent

__all__ = ["SigningAgent"]

_STEPS = (("Network", "PASS"), ("Sign-in", "PASS"), ("Account", "PASS"), ("Company", "FAIL"))


class SigningAgent(ScriptedAgent):
    """Begins sign-ins with the states ``state-0``, ``state-1``, …

    Attributes:
        passes: Whether tests of the connection succeed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passes = True
        self.begun = 0
        self.script = {
            Operation.AUTHORIZE: self._begin,
            Operation.REDEEM: self._redeem,
            Operation.TEST: self._test,
        }

    async def _begin(self, exchange: Exchange, _: bytes) -> None:
        callback = exchange.request.params["redirect_uri"]
        query = urlencode({"redirect_uri": callback, "state": f"state-{self.begun}"})
        self.begun += 1
        await _answer(
            exchange, {"authorize_url": f"https://login.procore.com/oauth/authorize?{query}"}
        )

    async def _redeem(self, exchange: Exchange, _: bytes) -> None:
        await _answer(exchange, {"login": "ann@example.com", "machine": "PC-1"})

    async def _test(self, exchange: Exchange, _: bytes) -> None:
        steps = [
            {"step": number, "name": name, "status": "PASS" if self.passes else status}
            | {"message": f"About {name}."}
            for number, (name, status) in enumerate(_STEPS)
        ]
        message = "Connection test failed at step 3 (Company): it is not there."
        await _answer(exchange, {"success": self.passes, "message": message, "steps": steps})


async def _answer(exchange: Exchange, document: dict[str, Any]) -> None:
    await exchange.send_head(ResponseHead(status=200, outcome=Outcome.COMPLETED))
    await exchange.send(json.dumps(document).encode(), end_stream=True)
