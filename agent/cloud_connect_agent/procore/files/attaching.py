"""Pure: how a resource of the catalogue takes a file: by reference, or within a form."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cloud_connect.calls import Operation
from cloud_connect.errors import UnsupportedOperationError
from cloud_connect_agent.procore.catalog import Direction, Resource
from cloud_connect_agent.procore.files.forms import FileForm, FormFile
from cloud_connect_agent.procore.messages import ApiRequest

__all__ = ["check_takes_files", "form_key_of", "reference_to", "with_file"]

# Which one a resource takes differs per endpoint; those in the plural take a list.
_FIELDS: Final = (
    "upload_ids",
    "upload_uuids",
    "upload_uuid",
    "file_upload_id",
    "attachment_upload_uuids",
)
_BY_UUID: Final = "attachments_by_uuid"  # takes a list of objects


def check_takes_files(resource: Resource) -> None:
    """Refuse a resource that takes files in no way that is documented.

    Raises:
        UnsupportedOperationError: If it is one.
    """
    if not form_key_of(resource):
        _field_of(resource)


def form_key_of(resource: Resource) -> str:
    """What a file is called in a resource's form; empty if it takes uploads by reference."""
    endpoint = resource.endpoint(Operation.UPDATE)
    return endpoint.attach if endpoint is not None else ""


def reference_to(resource: Resource, upload: str) -> dict[str, object]:
    """Return the change that hangs an upload on a record.

    Raises:
        UnsupportedOperationError: If the resource takes none.
    """
    name = _field_of(resource)
    if name == _BY_UUID:
        return {name: [{"upload_uuid": upload}]}
    return {name: [upload] if name.endswith("s") else upload}


def with_file(
    resource: Resource, request: ApiRequest, file: FormFile, record_id: str
) -> ApiRequest:
    """Return an update that changes nothing as the form that brings a file."""
    endpoint = resource.needed(Operation.UPDATE)
    body = request.json if isinstance(request.json, Mapping) else {}
    fields = {name: value for name, value in body.items() if name != endpoint.envelope}
    if endpoint.envelope:
        # Procore refuses an empty envelope, and changes no id: this alone changes nothing.
        fields[f"{endpoint.envelope}[id]"] = record_id
    form = FileForm(
        fields,
        filename=file.filename,
        content_type=file.content_type,
        size=file.size,
        key=endpoint.attach,
    )
    headers = tuple((name.decode("ascii"), value.decode("ascii")) for name, value in form.headers)
    return replace(
        request,
        json=None,
        content=lambda: form.content(file.read()),
        headers=(*request.headers, *headers),
    )


def _field_of(resource: Resource) -> str:
    for name in (*_FIELDS, _BY_UUID):
        if resource.knows(name, (Direction.IN, Direction.BOTH)):
            return name
    raise UnsupportedOperationError(
        f"{resource.text} take no files in any way that Procore documents; attach them on its "
        "own pages."
    )
