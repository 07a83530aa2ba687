"""Groups of conditions, as the platform and other serializers write them."""

from collections.abc import Mapping

from cloud_connect.errors import InvalidRequestError

__all__ = ["is_group"]


def is_group(item: Mapping[str, object]) -> bool:
    """Whether a member of conditions is a group of others, and no condition of its own.

    Serializers write a condition's members that are empty, too, such as ``"conditions": []``.

    Raises:
        InvalidRequestError: If it is both: ignoring the one or the other would widen a write.
    """
    argument = item.get("arg1")
    names = bool(item.get("operator")) or (
        isinstance(argument, dict) and bool(argument.get("name"))
    )
    if names and item.get("conditions"):
        raise InvalidRequestError("A condition holds “conditions”, too: write them as a group.")
    return "conditions" in item and not names
