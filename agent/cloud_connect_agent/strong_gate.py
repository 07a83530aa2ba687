"""The gate behind which calls are held to signatures and seals, too."""

from collections.abc import Sequence
from typing import Final

from cloud_connect_agent.policy import Access
from cloud_connect_agent.policy.gate import Gate, Granted
from cloud_connect_agent.strong_calls import StrongCalls

__all__ = ["StrongGate"]


class StrongGate:
    """Lets in what is signed and sealed as it must be, and what the policy then allows."""

    def __init__(self, gate: Gate, strong: StrongCalls) -> None:
        self._gate: Final = gate
        self._strong: Final = strong

    async def allow(
        self, accesses: Sequence[Access], deadline: float, *, executes: bool = True
    ) -> Granted:
        """Let a call in that wants to touch all of *accesses*.

        Raises:
            PolicyDeniedError: If it is not protected as it must be, carried out before, or refused.
        """
        self._strong.check(accesses)
        granted = await self._gate.allow(accesses, deadline, executes=executes)
        if executes:
            await self._strong.claim(accesses)
        return granted

    def check(self, accesses: Sequence[Access]) -> Granted:
        """Say whether the policy allows all of *accesses*, of a call that is in already.

        Raises:
            PolicyDeniedError: If it does not.
        """
        self._strong.check(accesses)
        return self._gate.check(accesses)
