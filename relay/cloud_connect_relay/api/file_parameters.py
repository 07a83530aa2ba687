"""What a request for files says: its query parameters, headers and references to uploads."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from cloud_connect.calls import CallParams, UploadParams
from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.api.record_parameters import shown

if TYPE_CHECKING:
    from starlette.requests import Request

    from cloud_connect_relay.calls.spec import Target

__all__ = ["UPLOAD_NAMES", "checked", "headers_that_go_on", "reference_of", "upload_params"]

UPLOAD_NAMES: Final = frozenset({"filename", "content_type", "flow", "tool"})
_REFERENCES: Final = ("upload", "uuid", "upload_id")
_CONDITIONS: Final = (
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
)
_MAX_HEADER: Final = 1024  # characters


def upload_params(
    pairs: Iterable[tuple[str, str]],
    target: "Target",
    *,
    project: str | None = None,
    resource: str | None = None,
) -> dict[str, Any]:
    """Return the parameters of an upload.

    Args:
        project: Where it goes, if that is known already.
        resource: What the file is for.

    Raises:
        InvalidRequestError: Naming what is malformed or not known.
    """
    params: dict[str, Any] = {}
    for name, value in pairs:
        if name not in UPLOAD_NAMES and name != "project_id":
            raise InvalidRequestError(
                f"The parameter '{shown(name)}' is not known; there are filename, content_type,"
                " project_id, flow and tool."
            )
        if name in params:
            raise InvalidRequestError(f"The parameter '{name}' comes twice.")
        params[name] = value
    if "filename" not in params:
        raise InvalidRequestError("Say what the file is called: the parameter 'filename'.")
    if project is not None:
        params["project_id"] = project
    if resource is not None:
        params["resource"] = resource
    return checked(UploadParams, target, params)


def checked(model: type[CallParams], target: "Target", params: dict[str, Any]) -> dict[str, Any]:
    """Return *params* as a head carries them.

    Raises:
        InvalidRequestError: Naming the first that is malformed.
    """
    try:
        made = model.model_validate({**params, "source": target.source})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidRequestError(f"The parameter '{name}' is wrong: {first['msg']}.") from error
    return made.model_dump(mode="json", exclude_unset=True, exclude={"source"})


def headers_that_go_on(request: "Request") -> tuple[tuple[str, str], ...]:
    """Return the headers that ask for a part of a file, or for one that has changed.

    Raises:
        InvalidRequestError: If one is not fit to be passed on.
    """
    found = []
    for name in _CONDITIONS:
        value = request.headers.get(name)
        if value is None:
            continue
        if len(value) > _MAX_HEADER or not (value.isascii() and value.isprintable()):
            raise InvalidRequestError(f"The header '{name}' is not fit to be passed on.")
        found.append((name, value))
    return tuple(found)


def reference_of(document: Mapping[str, Any]) -> str:
    """Return the upload that a document refers to.

    Raises:
        InvalidRequestError: If it refers to none.
    """
    for name in _REFERENCES:
        value = document.get(name)
        if isinstance(value, str) and value:
            return value
    raise InvalidRequestError(
        "Name the file with the parameter 'filename' and send it as the body, or name one that"
        ' was uploaded before: {"upload": "…"}.'
    )
