"""Tests of ``cloud_connect_agent.procore.forms_watched``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import Outcome, PolicyDeniedError
from cloud_connect_agent.procore.forms_watched import FormWatch, boundary_of, part_of

KIND = "multipart/form-data; boundary=b0"


def part(name: str, value: bytes = b"x") -> bytes:
    head = f'--b0\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return head.encode() + value + b"\r\n"


GOOD = part("a", b"\r\n--b" * 30) + part("file", b"\r\n\r\n--b1\r\n" * 9) + b"--b0--\r\nafter"
HIDDEN = (
    *("company_id", "project_id", "rfi[project_id]", "company_id[0]", "Company_Id", "_method"),
    *("[company_id]", "rfi]project_id", "_method]"),
)


def watched(body: bytes, first: int, size: int) -> None:
    watch = FormWatch(b"b0", body[:first])
    for start in range(first, len(body), size):
        watch.take(body[start : start + size])


@given(st.integers(0, len(GOOD)), st.integers(1, 40))
def test_form_that_names_nobody_passes_in_whatever_pieces(first: int, size: int) -> None:
    watched(GOOD, first, size)


@given(st.sampled_from(HIDDEN), st.integers(0, 40), st.integers(1, 60))
def test_part_that_names_somebody_is_found_in_whatever_pieces(
    name: str, first: int, size: int
) -> None:
    body = part("file", b"x" * 50) + part(name, b"9") + b"--b0--\r\n"
    with pytest.raises(PolicyDeniedError, match="body-binding") as caught:
        watched(body, first, size)
    assert caught.value.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "head",
    [
        b"\r\nContent-Disposition: form-data; name=company_id\r\n\r\n",
        b"\r\nContent-Disposition: form-data; name*=utf-8''company_id\r\n\r\n",
        b'\r\nContent-Disposition: form-data; name="a"; name="company_id"\r\n\r\n',
        b'\r\nContent-Disposition: form-data; name="a\\"b"\r\n\r\n',
        b'\r\nContent-Disposition: form-data;\r\n name="company_id"\r\n\r\n',
        b'\r\nContent-Disposition: form-data; name="a"\nX: name="company_id"\r\n\r\n',
        b"\r\nX: y\r\n\r\n",
        b'\r\nContent-Disposition: form-data; name="a"' * 2 + b"\r\n\r\n",
        b"\r\nX: " + b"y" * 5_000,
        b"\r\nX: " + b"y" * 5_000 + b"\r\n\r\n",
    ],
)
def test_part_whose_name_is_not_certain_is_cut_off(head: bytes) -> None:
    with pytest.raises(PolicyDeniedError):
        watched(part("a") + b"--b0" + head, 20, 7)


def test_what_clients_write_is_understood() -> None:
    assert part_of(b'\r\ncontent-disposition: form-data; name="A[]"') == ("a", False)
    file = b'Content-Disposition: form-data; name="f"; filename="x"; filename*=UTF-8\'\'x'
    assert part_of(file + b"\r\nContent-Type: a/b") == ("f", True)
    assert boundary_of(KIND) == boundary_of('Multipart/Form-Data; boundary="b0"') == b"b0"


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary*=a",
        'multipart/form-data; boundary="a',
        "multipart/form-data; charset=x; boundary=a",
        f"multipart/form-data; boundary={'a' * 71}",
    ],
)
def test_boundary_that_may_be_another_is_none(kind: str) -> None:
    assert boundary_of(kind) is None
