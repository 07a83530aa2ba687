import json
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request

from cloud_connect.errors import (
    AgentOfflineError,
    CloudConnectError,
    ErrorCode,
    InternalError,
    Outcome,
    OutcomeUnknownError,
    RateLimitedError,
    SourceRejectedError,
    UnauthorizedError,
)
from cloud_connect_relay.api import problems


def subclasses(root: type[CloudConnectError]) -> list[type[CloudConnectError]]:
    return [root, *(deeper for one in root.__subclasses__() for deeper in subclasses(one))]


def test_every_code_has_a_title() -> None:
    assert set(problems._TITLES) == set(ErrorCode)


def test_problem_has_all_members_even_when_they_are_empty() -> None:
    document = problems.describe(AgentOfflineError("Nobody is there."))
    assert document == {
        "type": "urn:cloud-connect:problem:connector_offline",
        "title": "No connector is connected",
        "status": 503,
        "detail": "Nobody is there.",
        "code": "connector_offline",
        "outcome": "not_executed",
        "call_id": None,
        "retry_safe": True,
        "lookup": None,
        "connector": None,
    }


def test_unknown_outcome_is_not_safe_to_repeat() -> None:
    response = problems.problem_response(
        OutcomeUnknownError("Who knows."),
        call_id="call_1",
        lookup="http://x/api/calls/call_1",
        extra={"connector": "con_1"},
    )
    document = json.loads(bytes(response.body))
    assert document["retry_safe"] is False
    assert document["call_id"] == "call_1"
    assert document["lookup"] == "http://x/api/calls/call_1"
    assert document["connector"] == "con_1"
    assert response.headers["should-retry"] == "false"


def test_refusal_of_procore_keeps_its_status_and_reasons() -> None:
    error = SourceRejectedError("No.", status=422, body={"errors": {"name": ["is missing"]}})
    document = problems.describe(error)
    assert document["status"] == 422
    assert document["source"] == {"errors": {"name": ["is missing"]}}
    assert document["outcome"] == Outcome.COMPLETED


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1.0, "1"), (1.1, "2"), (59.5, "60")])
def test_retry_after_is_rounded_up(seconds: float, header: str) -> None:
    response = problems.problem_response(RateLimitedError("Later.", retry_after=seconds))
    assert response.headers["retry-after"] == header


@pytest.mark.parametrize(
    "path",
    [
        "/api/datasources/ds_1/test",
        "/api/datasources/ds_1/tree",
        "/api/datasources/ds_1/query",
        "/custom-connector/x/test",
        "/Token",
    ],
)
def test_platform_paths_answer_in_the_platforms_words(path: str) -> None:
    denied = problems.error_response(UnauthorizedError("x"), path)
    assert bytes(denied.body) == b'{"Message":"Authorization has been denied for this request."}'
    assert denied.headers["www-authenticate"] == "Bearer"
    failed = problems.error_response(InternalError("x"), path)
    assert bytes(failed.body) == b'{"Message":"An error has occurred."}'
    other = problems.error_response(problems.not_found(), path)
    assert other.headers["content-type"] == problems.PROBLEM_TYPE


@pytest.mark.parametrize("path", ["/api/datasources/ds_1", "/api/datasources/a/b/test", "/token"])
def test_other_paths_answer_problems(path: str) -> None:
    assert problems.error_response(UnauthorizedError("x"), path).headers["content-type"] == (
        problems.PROBLEM_TYPE
    )


@pytest.mark.parametrize(
    ("status", "code", "answered"),
    [
        (401, "unauthorized", 401),
        (404, "not_found", 404),
        (405, "invalid_request", 405),
        (413, "payload_too_large", 413),
        (400, "invalid_request", 400),
        (418, "invalid_request", 418),
        (503, "internal_error", 500),
    ],
)
async def test_errors_of_the_framework_become_ours(status: int, code: str, answered: int) -> None:
    handlers: dict[Any, Any] = {}

    class App:
        def add_exception_handler(self, kind: Any, handler: Any) -> None:
            handlers[kind] = handler

    problems.install(App())  # type: ignore[arg-type]
    scope = {"type": "http", "path": "/x", "headers": [], "query_string": b"", "app": FastAPI()}
    response = await handlers[HTTPException](Request(scope), HTTPException(status, "Why."))
    assert response.status_code == answered
    assert json.loads(bytes(response.body))["code"] == code
