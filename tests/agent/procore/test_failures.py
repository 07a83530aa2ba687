"""Procore's error shapes."""

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import (
    Outcome,
    OutcomeUnknownError,
    RateLimitedError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.failures import (
    Failure,
    error_of,
    is_throttled,
    read_failure,
    restated,
)

V2 = {
    "error": {
        "code": "BAD_REQUEST",
        "message": "Invalid request.",
        "details": [
            {"reason_code": "INVALID_PROPERTY", "message": "must be a name", "source": "title"},
            {"reason_code": "INVALID_PROPERTY", "message": "Something else"},
            "and more",
        ],
    }
}

SHAPES = [
    ({"code": 7, "message": "No.", "reason": "Because"}, "7", "No (Because)"),
    ({"message": "No, because", "reason": "because"}, None, "No, because"),
    ({"reason": "Because"}, None, "Because"),
    ({"message": "is invalid", "fields": "subject"}, None, "“subject” is invalid"),
    ({"message": "is blank", "fields": "a, b.c"}, None, "“a” is blank; “b.c” is blank"),
    ({"message": "Not valid", "fields": "a b"}, None, "Not valid (a b)"),
    ({"message": "Try later", "fields": "subject"}, None, "Try later (subject)"),
    ({"fields": "subject"}, None, "subject"),
    ({"errors": "Not allowed"}, None, "Not allowed"),
    ({"errors": ["App is not connected to this company."]}, None, "App is not connected"),
    ({"errors": {"assignees": ["required"]}}, None, "“assignees” is required"),
    (
        {"errors": {"name": ["can't be blank", "Too short."]}},
        None,
        "“name” can't be blank; Too short",
    ),
    ({"errors": {"base": ["Name taken"]}, "error_type": "dup"}, "dup", "Name taken"),
    ({"errors": {"a": {"b": ["c", 5]}}}, None, "“a”: b: c; 5"),
    ({"message": "Gone", "exception": "X"}, None, "Gone"),
    ({"message": "Not found", "error": "missing"}, "missing", "Not found"),
    ({"error": {"code": "E1", "message": "Broken"}}, "E1", "Broken"),
    ({"error": {"error": "One per hour"}}, None, "One per hour"),
    ({"error": "invalid_grant", "error_description": "Expired."}, "invalid_grant", "Expired."),
    ({"error": "invalid_client"}, "invalid_client", "invalid_client"),
    (V2, "INVALID_PROPERTY", "Invalid request (Something else; and more; “title” must be a name)"),
    ({"error": {"details": [{"message": "m", "source": "s"}]}}, None, "“s”: m"),
    (
        {"message": "param is missing or the value is empty: rfi", "fields": "rfi"},
        None,
        "“rfi” is missing or empty",
    ),
    (
        {"errors": ["param is missing or the value is empty: filters[id]"]},
        None,
        "“filters[id]” is missing or empty",
    ),
    (["one", "two"], None, "one; two"),
    ("just text", None, "just text"),
    ({"message": True, "code": ""}, None, "no reason given"),
]


def read(body: object, *, status: int = 422, headers: dict[str, str] | None = None) -> Failure:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return read_failure(status, httpx.Headers(headers or {}), data)


@pytest.mark.parametrize(("body", "code", "message"), SHAPES)
def test_each_shape_gives_its_code_and_words(body: object, code: str | None, message: str) -> None:
    failure = read(body)
    assert failure.code == code
    assert failure.message.startswith(message)
    assert failure.raw == body


def test_reasons_by_field_are_kept() -> None:
    assert read(V2).fields == {"title": ("must be a name",)}
    assert read({"errors": {"a": ["x", "y"]}}).fields == {"a": ("x", "y")}


def test_plain_text_is_the_message() -> None:
    failure = read(b"You have surpassed\n the max.", status=429, headers={"x-request-id": "r9"})
    assert failure.message == "You have surpassed the max."
    assert failure.raw == "You have surpassed\n the max."
    assert failure.request_id == "r9"


def test_markup_is_no_message() -> None:
    failure = read(b"<html><body>502</body></html>", headers={"content-type": "text/html"})
    assert failure.message == "no reason given"


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (302, {"location": "https://portal.hotel.example/x"}, "redirect to portal.hotel.example"),
        (511, {"content-type": "text/html"}, "sign in with a browser on this PC"),
    ],
)
def test_page_of_a_network_in_between_is_named(
    status: int, headers: dict[str, str], says: str
) -> None:
    found = read_failure(status, headers, b"<html>Welcome, guest")
    assert says in found.message
    error = error_of(found, write=True, throttled=False)
    assert says in error.message
    assert error.outcome == "unknown", "who knows what stands behind such a page"


def test_an_empty_answer_may_say_why_in_its_challenge() -> None:
    challenge = 'Bearer realm="x", error="invalid_token", error_description="The token expired"'
    assert read(b"", headers={"www-authenticate": challenge}).message == "The token expired"
    assert read(b"").message == "no reason given"


def test_words_cannot_start_a_line_of_their_own() -> None:
    assert "\n" not in read({"message": "a\r\nSet-Cookie: b\x1b[31m"}).message


def test_a_large_answer_is_cut() -> None:
    failure = read({"message": "x" * 5000, "more": "y" * 5000})
    assert len(failure.message) <= 601
    assert isinstance(failure.raw, str)
    assert len(failure.raw) <= 4096
    assert read(b"[" * 70_000).message.startswith("[[[")


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "errors", "message", "code", "details", "fields", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_nothing_makes_reading_fail(body: object) -> None:
    failure = read(body)
    assert failure.message
    assert "\n" not in failure.message


def test_deep_nesting_is_no_trouble() -> None:
    assert read(b'{"errors":' * 900 + b"1" + b"}" * 900).message
    assert read(b'{"errors":[' * 400 + b"1" + b"]}" * 400).message


@pytest.mark.parametrize(
    ("status", "retry_after", "throttled"),
    [(429, False, True), (503, True, True), (503, False, False), (500, True, False)],
)
def test_throttling_is_told_from_breakage(
    status: int,
    retry_after: bool,  # noqa: FBT001 - parameters of the table
    throttled: bool,  # noqa: FBT001 - parameters of the table
) -> None:
    headers = httpx.Headers({"retry-after": "5"} if retry_after else {})
    assert is_throttled(status, headers) is throttled


@pytest.mark.parametrize(
    ("status", "write", "throttled", "kind", "outcome"),
    [
        (404, True, False, SourceRejectedError, Outcome.COMPLETED),
        (429, True, True, RateLimitedError, Outcome.NOT_EXECUTED),
        (503, True, True, RateLimitedError, Outcome.NOT_EXECUTED),
        (503, True, False, OutcomeUnknownError, Outcome.UNKNOWN),
        (503, False, False, SourceUnavailableError, Outcome.NOT_EXECUTED),
        (408, True, False, OutcomeUnknownError, Outcome.UNKNOWN),
        (408, False, False, SourceUnavailableError, Outcome.NOT_EXECUTED),
        (302, True, False, OutcomeUnknownError, Outcome.UNKNOWN),
        (302, False, False, SourceUnavailableError, Outcome.NOT_EXECUTED),
    ],
)
def test_the_error_says_what_is_certain(
    status: int,
    write: bool,  # noqa: FBT001 - parameters of the table
    throttled: bool,  # noqa: FBT001 - parameters of the table
    kind: type[Exception],
    outcome: Outcome,
) -> None:
    failure = read({"message": "Said so"}, status=status)
    error = error_of(failure, write=write, throttled=throttled, retry_after=3.0)
    assert type(error) is kind
    assert error.outcome is outcome
    assert "Said so." in error.message


@pytest.mark.parametrize(
    ("status", "write", "body", "said"),
    [
        (
            422,
            True,
            {"errors": {"assignees": ["required"]}},
            "refused the new RFI: “assignees” is required.",
        ),
        (403, False, b"", "refused the new RFI: the account may not do this, or the app"),
        (404, True, b"<html>", "refused the new RFI: there is no such thing, or the account"),
        (418, True, b"", "refused the new RFI: no reason given."),
        (502, False, b"<html>", "with status 502: it is not available at the moment."),
        (302, False, b"", "with status 302: it points elsewhere, which is not followed."),
        (
            500,
            False,
            {"error": {"code": "E", "message": "Broken"}},
            "failed at the new RFI with status 500: Broken.",
        ),
        (
            500,
            True,
            {"message": "Broken"},
            "Broken. Whether the change was carried out is not known.",
        ),
        (429, True, b"You have surpassed it.", "put off the new RFI: You have surpassed it."),
    ],
)
def test_what_was_refused_is_named_in_the_sentence(
    status: int,
    write: bool,  # noqa: FBT001 - parameters of the table
    body: object,
    said: str,
) -> None:
    plain = error_of(
        read(body, status=status), write=write, throttled=status == 429, retry_after=7.0
    )
    error = restated(plain, "the new RFI")
    assert said in error.message
    assert type(error) is type(plain)
    assert (error.outcome, error.status, error.retry_after) == (
        plain.outcome,
        plain.status,
        plain.retry_after,
    )
    assert error.body == plain.body


def test_error_that_is_not_procores_answer_stays_as_it_is() -> None:
    ours = SourceUnavailableError("Procore could not be reached.")
    assert restated(ours, "the new RFI") is ours
    answered = error_of(read({"message": "No"}), write=True, throttled=False)
    assert restated(answered, "") is answered
