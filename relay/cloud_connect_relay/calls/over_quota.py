"""The refusal of a call that is over a limit of its caller."""

from typing import Final

from cloud_connect.errors import QuotaExceededError

__all__ = ["OverQuotaError"]


class OverQuotaError(QuotaExceededError):
    """A quota is used up.

    Attributes:
        limit: Which one, as settings name it.
        quantity: How much it allows.
        window: Seconds over which it counts; ``None`` is at any moment.
    """

    def __init__(
        self,
        message: str,
        *,
        limit: str,
        quantity: int,
        window: float | None,
        retry_after: float,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.limit: Final = limit
        self.quantity: Final = quantity
        self.window: Final = window
