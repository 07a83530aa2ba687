"""The real agent, which crashes or hangs at a named step of a write.

``python -m doubles.faulty_agent crash@intent run --home …`` runs ``cloud-connect run`` with one
fault wrapped in from outside; the product knows nothing of it. A fault is ``crash@STEP``,
``crash@STEP#3`` (at the third write that gets there; the two before wait there for it) or
``block@STEP=90`` (the event loop stands still for 90 seconds). ``block@signal=90`` does so when
SIGUSR1 comes.

The steps of a write, each *after* what it names:

======== ====================================================================
received the call is in the journal, nothing else
intent   the intent is durable, no byte has gone to Procore
sent     the request's last byte has gone out
answered Procore's answer is here, the journal does not know it
done     the outcome is durable, nobody has been told
acked    the relay has the outcome, too, and the journal notes it
======== ====================================================================
"""

import asyncio
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["STEPS", "Fault"]

STEPS: Final = ("received", "intent", "sent", "answered", "done", "acked")
_SENT: Final = "http11.send_request_body.complete"


@dataclass(kw_only=True)
class Fault:
    """What goes wrong, where, and at which time of getting there."""

    kind: str
    step: str
    number: int = 1
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a fault as written on the command line."""
        match = re.fullmatch(r"(crash|block)@([a-z]+)(?:#(\d+))?(?:=([\d.]+))?", text)
        if match is None or match[2] not in (*STEPS, "signal"):
            raise SystemExit(f"{text!r} is no fault; the steps are {', '.join(STEPS)}")
        return cls(
            kind=match[1], step=match[2], number=int(match[3] or 1), seconds=float(match[4] or 0)
        )

    async def passed(self, writes: int = 1) -> None:
        """Strike if this is the time, else wait where the write is if others have to come."""
        self.number -= writes
        if self.number <= 0 and self.number + writes > 0:
            self.strike()
        elif self.number > 0 and self.step != "acked":  # those are told of together
            await asyncio.Event().wait()

    def strike(self) -> None:
        """Crash or stand still."""
        sys.stderr.write(f"fault: {self.kind} at {self.step}\n")
        sys.stderr.flush()
        if self.kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)

    def wrap_in(self) -> None:
        """Put the fault into the agent's own classes."""
        from cloud_connect_agent.journal import Journal
        from cloud_connect_agent.procore.transport import Sent

        if self.step == "signal":
            signal.signal(signal.SIGUSR1, lambda *_: self.strike())
        elif self.step == "sent":
            self._after_bytes(Sent)
        elif self.step == "answered":
            self._around(Journal, "finish", before=True)
        else:
            method = {"received": "receive", "intent": "intend", "done": "finish"}
            self._around(Journal, method.get(self.step, "acknowledge"), before=False)

    def _around(self, owner: Any, name: str, *, before: bool) -> None:
        inner: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def wrapped(*arguments: Any, **named: Any) -> Any:
            writes = len(arguments[1]) if name == "acknowledge" else 1
            if before:
                await self.passed(writes)
            result = await inner(*arguments, **named)
            if not before:
                await self.passed(writes)
            return result

        setattr(owner, name, wrapped)

    def _after_bytes(self, owner: Any) -> None:
        inner: Callable[..., Awaitable[None]] = owner.__call__

        async def wrapped(sent: Any, event: str, info: Any) -> None:
            await inner(sent, event, info)
            if event == _SENT:
                await self.passed()

        owner.__call__ = wrapped


if __name__ == "__main__":
    Fault.parse(sys.argv.pop(1)).wrap_in()
    from cloud_connect_agent.cli import main

    main()
