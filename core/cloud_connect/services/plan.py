"""What an installation does, step by step: it can be shown before, and done again without harm."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Plan", "Step"]


class Step(Protocol):
    """One change of the machine, such as a file that is written or a command that is run."""

    @property
    def sentence(self) -> str:
        """What it does, as an order: "Write /etc/…"; no secret is in it."""
        ...

    @property
    def content(self) -> str | None:
        """What a file will hold, or which command is run; ``None`` if the sentence says it all."""
        ...

    @property
    def needed(self) -> bool:
        """Whether the machine is not that way yet; looks, and changes nothing."""
        ...

    def carry_out(self) -> None:
        """Make the machine so.

        Raises:
            CloudConnectError: If it cannot be done; the message says why and what helps.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in the order in which they are taken.

    Attributes:
        subject: What the plan is about, such as "the service cloud-connect".
        refusals: Why the plan must not be carried out, each with its remedy.
        notes: What a person should know, and do next.
    """

    subject: str
    steps: Sequence[Step]
    refusals: Sequence[str] = ()
    notes: Sequence[str] = ()

    def carry_out(self) -> Iterator[str]:
        """Take the steps that are needed, one after another; yield what each of them did.

        A step looks at the machine when its turn comes, since the ones before it may have done its
        work.

        Raises:
            CloudConnectError: If a step fails; those before it stay done, and the plan may be
                carried out again.
        """
        for step in self.steps:
            if step.needed:
                step.carry_out()
                yield step.sentence
