"""Pure: how a resource of the catalogue takes a file: by reference, or within a form."""

from collections.abc import Mapping
from dataclasses import replace

from cloud_connect.calls import Operation
from cloud_connect.errors import UnsupportedOperationError
from cloud_connect_agent.procore.catalog import Endpoint, Resource
from cloud_connect_agent.procore.files.forms import FileForm, FormFile
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.values import FieldType

__all__ = ["check_takes_files", "reference_to", "with_file"]


def check_takes_files(resource: Resource) -> Endpoint:
    """Return how a record is changed so that a file hangs on it.

    Raises:
        UnsupportedOperationError: If that is documented in no way.
    """
    endpoint = resource.needed(Operation.UPDATE)
    if not (endpoint.attach or endpoint.upload_field):
        raise UnsupportedOperationError(
            f"{resource.text} take no files in any way that Procore documents; attach them on its "
            "own pages."
        )
    return endpoint


def reference_to(resource: Resource, upload: str) -> dict[str, object]:
    """Return the change that hangs an upload on a record.

    Raises:
        UnsupportedOperationError: If the resource takes none.
    """
    name, _, inner = check_takes_files(resource).upload_field.partition(".")
    value = {inner: upload} if inner else upload
    return {name: [value] if resource.type_of(name) is FieldType.LIST else value}


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
