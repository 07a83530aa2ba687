"""``python -m doubles.dying_refresh``: refreshes a grant, over and over, and dies while it does.

One process loads the agent's code once and forks for each life, so that a hundred kills cost
seconds. It is told on standard input what to do, a JSON document a line, and says what came of it
in the same way:

- ``{"home", "api", "login", "die_at": N}``: ask for a token and die at the N-th step of it, a
  step being a sync, a rename, or bytes that go out or come in;
- ``{"home", "api", "login", "ask": N}``: ask N times, one after another;
- the same with ``"warm": 1``: without a child; with ``"use"``, the token is then shown to the API.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloud_connect.errors import CloudConnectError
from cloud_connect.log import configure
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.procore.grants.identity import IdentityHost
from cloud_connect_agent.procore.transport import Origin, Timeouts
from cloud_connect_agent.vault import open_vault
from doubles.fake_procore import SANDBOX, FakeProcore
from doubles.signing_in import Clocks, _trust, opened


def die_at(step: int) -> None:
    """Have this process kill itself before and after each step, at the one that is told."""
    left = [step]

    def count() -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            count()
            result = function(*given, **named)
            count()
            return result

        return counted

    os.fsync = around(os.fsync)
    os.replace = around(os.replace)
    transport = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    transport.write = around(transport.write)
    protocol = asyncio.StreamReaderProtocol
    protocol.data_received = around(protocol.data_received)  # type: ignore[method-assign]


class _WallClocks(Clocks):
    """The clocks of this machine."""

    now = property(lambda _: time.monotonic(), lambda _, __: None)
    wall = property(lambda _: time.time(), lambda _, __: None)


async def ask(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask for tokens; return what each question came to and how long it took."""
    procore = FakeProcore()
    procore.api.url, procore.login.url = told["api"], told["login"]
    answers = []
    async with (
        open_vault(AgentPaths.of(Path(told["home"]))) as vault,
        opened(procore, vault, _WallClocks()) as authenticator,
    ):
        for _ in range(told.get("ask", 1)):
            began = time.monotonic()
            try:
                token = await authenticator.token(SANDBOX)
                came = token.stored.access_token.get_secret_value()
            except CloudConnectError as error:
                came = error.code.value
            answers.append({"came": came, "seconds": time.monotonic() - began})
            if "use" in told and came.startswith("access-"):
                host = IdentityHost(
                    Origin(told["api"], _trust(), timeouts=Timeouts()), user_agent="x"
                )
                await host.ask(came)
    return answers


def live(told: dict[str, Any]) -> None:
    """Run one life in a child of this process and say how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        if "die_at" in told:
            die_at(told["die_at"])
        answers = asyncio.run(ask(told))
        os.write(writing, json.dumps(answers).encode())
        os._exit(0)
    os.close(writing)
    said = b""
    while piece := os.read(reading, 65536):
        said += piece
    os.close(reading)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    answers = json.loads(said) if said and not killed else []
    print(json.dumps({"killed": killed, "answers": answers}), flush=True)  # noqa: T201


if __name__ == "__main__":
    configure(level="error")  # the log would stand among the answers
    _trust()  # what takes long is done once, before all lives
    for line in sys.stdin:
        told = json.loads(line)
        if "warm" in told:  # in this process: what is imported late is there for all lives
            answers = asyncio.run(ask(told))
            print(json.dumps({"killed": False, "answers": answers}), flush=True)  # noqa: T201
        else:
            live(told)
