"""What a relay says with an echo, by which it finds out whether calls come through."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MAX_HELD", "EchoParams"]

MAX_HELD: Final = 7 * 86400.0  # seconds of one pause by an administrator


class EchoParams(BaseModel):
    """``echo``: answered with 200 from where calls are answered.

    Attributes:
        held_seconds: For how long an administrator of the relay still keeps calls from the
            agent; ``None`` if nobody does.
        draining: The same, until somebody there has it take calls again.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    held_seconds: float | None = Field(default=None, gt=0, le=MAX_HELD)
    draining: bool = False
