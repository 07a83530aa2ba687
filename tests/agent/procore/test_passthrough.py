"""Raw calls: what is let through, and which headers."""

import pytest

from cloud_connect.calls import PassthroughParams
from cloud_connect.errors import Outcome, PolicyDeniedError
from cloud_connect_agent.policy import Verb
from cloud_connect_agent.procore.passthrough import (
    BodyStart,
    RawCall,
    answer_headers,
    outcome_of,
    prepare,
)
from doubles.fake_procore import SOURCE


def make(
    target: str,
    *,
    method: str = "GET",
    body: bytes = b"",
    complete: bool = True,
    headers: tuple[tuple[str, str], ...] = (),
) -> RawCall:
    params = PassthroughParams.model_validate(
        {"source": SOURCE, "method": method, "target": target}
    )
    return prepare(params, headers, BodyStart(data=body, complete=complete))


JSON = (("Content-Type", "application/json"),)
TEXT = (("Content-Type", "text/plain"),)
SUBJECT = b'Content-Disposition: form-data; name="rfi[subject]"\r\n\r\nx'
PARTS = (("Content-Type", "multipart/form-data; boundary=b"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        ("rest/v1.0/companies/1/users", (), b""),
        ("rest/v1.0/companies/08089/users", (), b""),
        ("rest/v1.0/Companies/1/users", (), b""),
        ("rest/v1.0/rfis?company_id=1", (), b""),
        ("rest/v1.0/rfis?company_id=8089&company_id=1", (), b""),
        ("rest/v1.0/rfis?company_id[]=1", (), b""),
        ("rest/v1.0/rfis?a=b;company_id=1", (), b""),
        ("rest/v1.0/rfis?[company_id]=1", (), b""),
        ("rest/v1.0/rfis?company_id]=1", (), b""),
        ("rest/v1.0/rfis?%5B%5Bcompany_id=1", (), b""),
        ("rest/v1.0/rfis?rfi]company_id=1", (), b""),
        ("rest/v1.0/rfis?Company%5Fid=1", (), b""),
        ("rest/v1.0/rfis?company_id=", (), b""),
        ("rest/v1.0/rfis", (("Procore-Company-Id", "1"),), b""),
        ("rest/v1.0/rfis", JSON, b'{"company_id":1}'),
        ("rest/v1.0/rfis", JSON, b'{"company_id":"1"}'),
        ("rest/v1.0/rfis", JSON, b'{"company_id":8089.5}'),
        ("rest/v1.0/rfis", JSON, b'{"company_id":[8089]}'),
        ("rest/v1.0/rfis", FORM, b"company_id=1"),
        ("rest/v1.0/rfis", FORM, b"[company_id]=1"),
        ("rest/v1.0/rfis?project_id=1&project_id=2", (), b""),
        ("rest/v1.0/rfis?project_id=abc", (), b""),
        ("rest/v1.0/projects/1/rfis?project_id=2", (), b""),
        ("rest/v1.0/projects/1/rfis", JSON, b'{"project_id":2}'),
    ],
)
def test_another_company_or_two_projects_are_refused(
    target: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    with pytest.raises(PolicyDeniedError, match="rule"):
        make(target, method="POST", headers=headers, body=body)


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        ("rest/v1.0/companies/8089/users", (), b""),
        ("rest/v1.0/companies", (), b""),
        ("rest/v1.0/companies/sync", (), b""),
        ("rest/v1.0/rfis?company_id=8089", (("procore-company-id", " 8089 "),), b""),
        ("rest/v1.0/rfis", JSON, b'{"company_id":8089}'),
        ("rest/v1.0/rfis", JSON, b"[1]"),
    ],
)
def test_the_own_company_goes_through(
    target: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    call = make(target, method="POST", headers=headers, body=body)
    assert call.access.company_id == 8089


@pytest.mark.parametrize(
    ("target", "headers", "body", "complete", "project"),
    [
        ("rest/v1.0/projects/12/rfis", (), b"", True, 12),
        ("rest/v1.0/projects/12/rfis", (), b"...", False, 12),
        ("rest/v1.0/rfis?project_id=12", (), b"", True, 12),
        ("rest/v1.0/rfis?project_id=12", JSON, b"{}", True, 12),
        ("rest/v1.0/rfis", JSON, b'{"project_id":12}', True, 12),
        ("rest/v1.0/rfis", FORM, b"project_id=12", True, 12),
        ("rest/v1.0/rfis?project_id=12", PARTS, b"--b\r\n" + SUBJECT, False, 12),
        ("rest/v1.0/rfis?project_id=12", TEXT, b"{", True, None),
        ("rest/v1.0/rfis?project_id=12", TEXT, b"{}", False, None),
        ("rest/v1.0/rfis", (), b"", True, None),
    ],
)
def test_the_policy_is_told_a_project_only_if_it_is_certain(
    target: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    complete: bool,  # noqa: FBT001 - parameter of the table
    project: int | None,
) -> None:
    call = make(target, method="POST", headers=headers, body=body, complete=complete)
    assert call.access.project_id == project
    assert call.access.verb is Verb.PASSTHROUGH_WRITE
    assert call.access.path == target.partition("?")[0]


def test_get_and_head_only_read() -> None:
    assert make("rest/v1.0/me").access.verb is Verb.PASSTHROUGH_READ
    assert make("rest/v1.0/me", method="HEAD").access.verb is Verb.PASSTHROUGH_READ


def test_only_listed_request_headers_go_along() -> None:
    call = make(
        "rest/v1.0/me",
        headers=(
            ("Authorization", "Bearer relay"),
            ("Cookie", "a=b"),
            ("Host", "evil.example"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("Connection", "upgrade"),
            ("Transfer-Encoding", "chunked"),
            ("If-None-Match", '"x"'),
            ("Accept", "application/json"),
        ),
    )
    assert call.headers == (
        ("if-none-match", '"x"'),
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
    )


def test_a_callers_encodings_are_its_own() -> None:
    assert make("rest/v1.0/me", headers=(("Accept-Encoding", "gzip"),)).headers == (
        ("accept-encoding", "gzip"),
    )


def test_only_listed_answer_headers_come_back_without_controls() -> None:
    headers = [
        (b"Set-Cookie", b"a=b"),
        (b"Location", b"https://storage.example/a.pdf?sig=1"),
        (b"Connection", b"keep-alive"),
        (b"Transfer-Encoding", b"chunked"),
        (b"X-Evil", b"1"),
        (b"Total", b"5\r\nSet-Cookie: x\x00\x7f"),
        (b"ETag", b'"\xe9"'),
        (b"Link", b"<" + b"x" * 5000 + b">"),
    ]
    assert answer_headers(headers) == (
        ("total", "5Set-Cookie: x"),
        ("etag", '"\xe9"'),
    )
    many = [(b"Link", b"x" * 3000)] * 10
    assert len(answer_headers(many)) == 2


@pytest.mark.parametrize(
    ("status", "headers", "writes", "outcome"),
    [
        (200, {}, True, Outcome.COMPLETED),
        (404, {}, True, Outcome.COMPLETED),
        (429, {}, True, Outcome.NOT_EXECUTED),
        (503, {"retry-after": "1"}, True, Outcome.NOT_EXECUTED),
        (503, {}, True, Outcome.UNKNOWN),
        (408, {}, True, Outcome.UNKNOWN),
        (302, {}, True, Outcome.UNKNOWN),
        (503, {}, False, Outcome.COMPLETED),
    ],
)
def test_the_outcome_follows_from_the_answer(
    status: int,
    headers: dict[str, str],
    writes: bool,  # noqa: FBT001 - parameter of the table
    outcome: Outcome,
) -> None:
    assert outcome_of(status, headers, writes=writes) is outcome
