"""The folder of a service, as far as the service manager's part has to know it."""

from collections.abc import Sequence
from typing import Protocol

from cloud_connect.services.backend import Finding
from cloud_connect.services.plan import Step

__all__ = ["Contents"]


class Contents(Protocol):
    """What the service's folder holds; its end knows."""

    @property
    def ready(self) -> bool:
        """Whether the service has what it needs to start."""
        ...

    def lacks(self) -> str | None:
        """Say what the service waits for before it can start, and the command that brings it."""
        ...

    def refusals(self) -> Sequence[str]:
        """Why the folder cannot be used for a service as it is."""
        ...

    def steps(self) -> Sequence[Step]:
        """Make the folder, once the account is there."""
        ...

    def before_start(self) -> Sequence[Step]:
        """Put right what commands left behind in it."""
        ...

    def lent(self) -> Sequence[Step]:
        """Let the service's account replace what is root's in it, until `before_start`."""
        ...

    def advice(self) -> Sequence[str]:
        """Say what a person does next."""
        ...

    def farewell(self) -> Sequence[str]:
        """Say what is still to do elsewhere once all is removed."""
        ...

    def findings(self) -> Sequence[Finding]:
        """Read back what the steps made."""
        ...
