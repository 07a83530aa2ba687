"""Pure: how many records one call may change, and what is said when they are too many."""

from typing import Final

from cloud_connect.errors import CloudConnectError, InvalidRequestError, PolicyDeniedError
from cloud_connect_agent.policy import Ceiling
from cloud_connect_agent.procore.catalog import Resource

__all__ = ["MAX_CHANGED", "most_changed", "too_many", "too_many_new"]

MAX_CHANGED: Final = 1_000  # records that one update or delete may change


def most_changed(ceiling: Ceiling | None) -> int:
    """How many records an update or delete may change by itself and by the policy."""
    return MAX_CHANGED if ceiling is None else min(MAX_CHANGED, ceiling.records)


def too_many(
    resource: Resource, count: int, *, verb: str, multiple: bool, ceiling: Ceiling | None
) -> CloudConnectError | None:
    """The refusal of a change of *count* records; ``None`` if it may go on.

    Args:
        verb: What would be done to them, such as "changed".
        multiple: Whether the caller means more than one.
    """
    if count > 1 and not multiple:
        return InvalidRequestError(
            f"The conditions match more than one of the {resource.many}; nothing was {verb}. "
            "Narrow them, or set “multiple” to true."
        )
    refused = _above(ceiling, count, verb=verb)
    if refused is None and count > MAX_CHANGED:
        return InvalidRequestError(
            f"The conditions match more than {MAX_CHANGED} of the {resource.many}; nothing "
            f"was {verb}. Narrow them."
        )
    return refused


def too_many_new(
    resource: Resource, count: int, *, ceiling: Ceiling | None
) -> CloudConnectError | None:
    """The refusal of *count* new records; ``None`` if they may go out."""
    refused = _above(ceiling, count, verb="created")
    if refused is None and resource.sync is None and count > MAX_CHANGED:
        return InvalidRequestError(
            f"Procore creates {resource.many} only one by one, so one call may create at most "
            f"{MAX_CHANGED}."
        )
    return refused


def _above(ceiling: Ceiling | None, count: int, *, verb: str) -> PolicyDeniedError | None:
    """The policy's refusal of *count* records in one call; ``None`` if it allows them."""
    reason = ceiling.refusal(count) if ceiling is not None else None
    if ceiling is None or reason is None:
        return None
    return PolicyDeniedError(f"{reason} Nothing was {verb}. (rule {ceiling.rule})")
