"""Problems as errors: the other end chooses the words, not what they mean here."""

import pytest

from cloud_connect.errors import (
    CloudConnectError,
    InternalError,
    Outcome,
    OutcomeUnknownError,
    PolicyDeniedError,
    RateLimitedError,
    SourceRejectedError,
)
from cloud_connect.problems import error_of
from cloud_connect.tunnel import Problem


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("policy_denied", 403, PolicyDeniedError),
        ("rate_limited", 429, RateLimitedError),
        ("outcome_unknown", 502, OutcomeUnknownError),
        ("source_rejected", 422, SourceRejectedError),
        ("source_rejected", 200, InternalError),
        ("unauthorized", 401, InternalError),
        ("news", 200, InternalError),
    ],
)
def test_a_problem_is_the_error_of_its_code(
    code: str, status: int, kind: type[CloudConnectError]
) -> None:
    problem = Problem(
        code=code,
        detail="Why.",
        outcome=Outcome.UNKNOWN,
        status=status,
        retry_after=3.0,
        source={"a": 1},
    )
    error = error_of(problem, call_id="call_1")
    assert type(error) is kind
    assert (error.message, error.call_id, error.body) == ("Why.", "call_1", {"a": 1})
    assert error.outcome is Outcome.UNKNOWN
    assert not error.retry_safe
