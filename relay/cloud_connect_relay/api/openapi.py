"""The OpenAPI document: FastAPI's, with the errors and the raw paths as they really are."""

from typing import TYPE_CHECKING, Any, Final

from cloud_connect.errors import ErrorCode, Outcome
from cloud_connect_relay.api.problems import PROBLEM_TYPE, is_platform_path

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["openapi_document"]

_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457), and what is certain about the call's effect.",
    "required": ["type", "title", "status", "detail", "code", "outcome", "retry_safe"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string", "enum": [code.value for code in ErrorCode]},
        "outcome": {"type": "string", "enum": [outcome.value for outcome in Outcome]},
        "call_id": {"type": ["string", "null"]},
        "retry_safe": {
            "type": "boolean",
            "description": "Whether a repeat cannot do anything twice.",
        },
        "lookup": {
            "type": ["string", "null"],
            "description": "Where the call's fate can be read.",
        },
        "source": {"description": "Procore's own answer, if it refused or failed."},
    },
}
_DATASOURCE: Final = {
    "name": "datasource_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
}
_PASSTHROUGH_PATH: Final = "/api/datasources/{datasource_id}/procore/{path}"
_PASSTHROUGH_METHODS: Final = ("get", "head", "post", "put", "patch", "delete")


def openapi_document(app: "FastAPI") -> dict[str, Any]:
    """Return the description of everything the relay answers."""
    document = app.openapi()
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["tags"] = [tag[:1].upper() + tag[1:] for tag in operation.get("tags", ())]
            if operation["summary"].istitle():  # made up from the function's name
                operation["summary"] = operation["summary"].capitalize()
            operation["responses"].pop("422", None)  # ours is a 400, as a problem
            operation["responses"].setdefault("default", _problem_response(path))
    document["paths"].setdefault(_PASSTHROUGH_PATH, _passthrough())
    return document


def _problem_response(path: str) -> dict[str, Any]:
    """Return what failures of *path* look like; some callers expect shapes of their own, too."""
    content: dict[str, Any] = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if is_platform_path(path) or path.startswith("/oauth/"):
        content["application/json"] = {"schema": {"type": "object"}}
    if path == "/oauth/callback":
        content["text/html"] = {}
    return {"description": "The request failed.", "content": content}


def _passthrough() -> dict[str, Any]:
    path = {
        "name": "path",
        "in": "path",
        "required": True,
        "description": "A Procore path from `rest/` on, such as `rest/v1.0/projects`.",
        "schema": {"type": "string"},
    }
    return {
        method: {
            "tags": ["Pass-through"],
            "summary": "Call Procore as it is",
            "description": (
                "Status, allowed headers and bodies stream both ways. Use this address as any"
                " Procore client's base URL, with the API key as its token. The policy on the"
                " connector's PC decides what passes."
            ),
            "operationId": f"passthrough_{method}",
            "parameters": [_DATASOURCE, path],
            "responses": {
                "200": {"description": "Procore's answer."},
                "default": _problem_response(_PASSTHROUGH_PATH),
            },
            "security": [{"Bearer": []}],
        }
        for method in _PASSTHROUGH_METHODS
    }
