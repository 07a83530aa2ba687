"""Tests of ``cloud_connect_agent.procore.files.links``."""

from typing import Any

import pytest

from cloud_connect.errors import InvalidRequestError, NotFoundError, UnsupportedOperationError
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.files.attaching import reference_to
from cloud_connect_agent.procore.files.links import attachments_of, link_at, main_field, name_at

URL = "https://storage.procore.com/1"


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"url": URL, "thumbnail_url": URL}, "url"),
        ({"png_url": URL, "pdf_url": URL}, "pdf_url"),
        ({"fillable_pdf": {"url": URL}}, "fillable_pdf.url"),
        ({"current_revision": {"pdf_url": URL}}, "current_revision.pdf_url"),
        (
            {"created_by": {"url": URL}, "attachments": [{"url": None}, {"url": URL}]},
            "attachments.1.url",
        ),
        (
            {"file_versions": [{"number": 2, "url": URL}, {"number": 3, "url": URL}]},
            "file_versions.1.url",
        ),
    ],
)
def test_a_records_own_file_is_found(record: dict[str, Any], field: str) -> None:
    assert main_field(record) == field
    assert link_at(record, field) == URL


@pytest.mark.parametrize(
    "record", [{}, {"url": None}, {"link": URL}, {"attachments": "none"}, {"user": {"url": URL}}]
)
def test_a_record_without_a_file_says_so(record: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError):
        main_field(record)


@pytest.mark.parametrize(
    "field",
    ["attachments.7.url", "attachments.x.url", "attachments.0.0.url", "name.url", "no_url", "url"],
)
def test_a_field_that_holds_no_link_is_not_found(field: str) -> None:
    record = {"attachments": [{"url": ""}], "name": "x", "url": 5}
    with pytest.raises(NotFoundError):
        link_at(record, field)


@pytest.mark.parametrize("field", ["link", "website", "attachments.0.link", ""])
def test_fields_that_only_display_links_are_refused(field: str) -> None:
    with pytest.raises(InvalidRequestError, match="does not link to a file"):
        link_at({"link": URL, "website": URL}, field)


def test_links_that_lead_nowhere_on_the_web_are_none() -> None:
    with pytest.raises(NotFoundError):
        link_at({"url": "file:///etc/passwd"}, "url")


def test_a_files_name_is_the_nearest_one() -> None:
    record = {"name": "outer", "attachments": [{"filename": " plan.pdf ", "url": URL}, {}]}
    assert name_at(record, "attachments.0.url") == "plan.pdf"
    assert name_at(record, "attachments.1.url") == "outer"
    assert name_at({}, "url") is None


def test_attachments_are_found_wherever_they_hang() -> None:
    record = {
        "attachments": [{"id": 1, "name": "a", "url": URL}, {"id": 2}],
        "questions": [{"attachments": [{"id": 3, "url": URL}]}],
        "image": {"url": URL},
    }
    assert attachments_of(record) == [
        {"id": 1, "name": "a", "url": URL, "field": "attachments.0.url"},
        {"id": 3, "url": URL, "field": "questions.0.attachments.0.url"},
    ]


def test_attachments_are_told_however_many_they_are() -> None:
    assert len(attachments_of({"attachments": [{"url": URL}] * 2000})) == 2000


def test_a_record_that_nests_without_end_is_looked_into_so_far_only() -> None:
    node: dict[str, Any] = {"attachments": [{"url": URL}]}
    for _ in range(50):
        node = {"inner": node}
    assert attachments_of(node) == []


def test_each_resource_takes_an_upload_its_own_way() -> None:
    catalog = load_catalog()
    assert reference_to(catalog.resource("files"), "01X") == {"upload_uuid": "01X"}
    assert reference_to(catalog.resource("rfi_replies"), "01X") == {"upload_ids": ["01X"]}
    by_object = {"attachments_by_uuid": [{"upload_uuid": "01X"}]}
    assert reference_to(catalog.resource("change_events"), "01X") == by_object
    with pytest.raises(UnsupportedOperationError, match="take no files"):
        reference_to(catalog.resource("folders"), "01X")
