"""One step of the service's installation or removal on Windows."""

from collections.abc import Callable
from dataclasses import dataclass

from cloud_connect_agent.hosting.windows_machine import UnknownSettingError

__all__ = ["Change"]


@dataclass(slots=True, kw_only=True)
class Change:
    """A step that is needed while *missing* says so."""

    sentence: str
    content: str | None
    missing: Callable[[], bool]
    do: Callable[[], None]

    @property
    def needed(self) -> bool:
        """Whether Windows is not that way yet."""
        return self.missing()

    def carry_out(self) -> None:
        """Make Windows so, unless it is too old for that."""
        try:
            self.do()
        except UnknownSettingError as exc:  # `service verify` goes on saying so
            self.sentence = f"Leave that out: {exc.message}"
