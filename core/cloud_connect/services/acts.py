"""Steps that do something: a program of the system that is run, or more than that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from cloud_connect.errors import CloudConnectError
from cloud_connect.services.host import Host

__all__ = ["Act", "Condition", "RunCommand"]

Condition: TypeAlias = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommand:
    """Runs a program of the system.

    Attributes:
        purpose: What it is for, as an order.
        when: Whether it has to be run.
        stdin: What it is told; never shown.
    """

    host: Host
    purpose: str
    command: tuple[str, ...]
    when: Condition
    stdin: Callable[[], bytes] = bytes

    @property
    def sentence(self) -> str:
        """What it is for."""
        return self.purpose

    @property
    def content(self) -> str | None:
        """The command."""
        return " ".join(self.command)

    @property
    def needed(self) -> bool:
        """Whether it has to be run."""
        return self.when()

    def carry_out(self) -> None:
        """Run it."""
        ran = self.host.run(*self.command, stdin=self.stdin())
        if ran.status != 0:
            raise CloudConnectError(
                f"{self.purpose}: `{' '.join(self.command)}` failed: {ran.complaint}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Does what takes more than one command.

    Attributes:
        purpose: What it is for, as an order.
        what: Does it.
        when: Whether it has to be done.
    """

    purpose: str
    what: Callable[[], None]
    when: Condition

    @property
    def sentence(self) -> str:
        """What it is for."""
        return self.purpose

    @property
    def content(self) -> str | None:
        """Nothing more."""
        return None

    @property
    def needed(self) -> bool:
        """Whether it has to be done."""
        return self.when()

    def carry_out(self) -> None:
        """Do it."""
        self.what()
