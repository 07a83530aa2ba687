"""Pure: how a resource of the catalogue takes a file that was uploaded before."""

from typing import Final

from cloud_connect.errors import UnsupportedOperationError
from cloud_connect_agent.procore.catalog import Direction, Resource

__all__ = ["check_takes_uploads", "reference_to"]

# Which one a resource takes differs per endpoint; those in the plural take a list.
_FIELDS: Final = (
    "upload_ids",
    "upload_uuids",
    "upload_uuid",
    "file_upload_id",
    "attachment_upload_uuids",
)


def check_takes_uploads(resource: Resource) -> None:
    """Refuse a resource that takes no uploads.

    Raises:
        UnsupportedOperationError: If it is one.
    """
    _field_of(resource)


def reference_to(resource: Resource, upload: str) -> dict[str, object]:
    """Return the change that hangs an upload on a record.

    Raises:
        UnsupportedOperationError: If the resource takes none.
    """
    name = _field_of(resource)
    return {name: [upload] if name.endswith("s") else upload}


def _field_of(resource: Resource) -> str:
    for name in _FIELDS:
        if resource.knows(name, (Direction.IN, Direction.BOTH)):
            return name
    raise UnsupportedOperationError(
        f"{resource.text} take no uploaded files in Procore; send them as its own form through "
        "the pass-through."
    )
