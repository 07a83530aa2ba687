import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import InvalidRequestError, UnsupportedOperationError
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.records import with_own_values, write_request
from cloud_connect_agent.procore.values import FieldType
from doubles.scripted_procore import COMPANY, source

IN_PROJECT = {"project_id": "5001"}


def request(
    name: str,
    record: dict[str, object] | None,
    *,
    operation: Operation = Operation.CREATE,
    target: dict[str, str] | None = None,
) -> ApiRequest:
    resource = load_catalog().resource(name)
    return write_request(
        resource,
        operation,
        source(),
        IN_PROJECT if target is None else target,
        record_id=None if operation is Operation.CREATE else "9",
        record=None if record is None else with_own_values(record, lambda _: None),
    )


def body(name: str, **record: object) -> object:
    return request(name, {key.replace("__", "."): value for key, value in record.items()}).json


def test_record_goes_into_its_envelope_and_ids_beside_it() -> None:
    made = request("punch_items", {"name": "Door"})
    assert (made.method, made.path, made.query) == ("POST", "/rest/v1.1/punch_items", ())
    assert made.json == {"project_id": 5001, "punch_item": {"name": "Door"}}
    project = request("projects", {"name": "Tower"}, target={})
    assert project.json == {"company_id": COMPANY, "project": {"name": "Tower"}}


def test_ids_go_into_the_path_or_the_query_where_procore_wants_them() -> None:
    assert request("rfis", {"subject": "x"}).path == "/rest/v1.0/projects/5001/rfis"
    folder = request("folders", {"name": "x"})
    assert (folder.query, folder.json) == ((("project_id", "5001"),), {"folder": {"name": "x"}})
    gone = request("observations", None, operation=Operation.DELETE)
    assert gone.path == "/rest/v1.0/projects/5001/observations/items/9"
    assert (gone.method, gone.json) == ("DELETE", None)


def test_dotted_names_nest() -> None:
    assert body("rfis", question__body="Which?", question__image_ids=[1], subject="Door") == {
        "rfi": {"question": {"body": "Which?", "image_ids": [1]}, "subject": "Door"}
    }
    assert body("rfis", question={"body": "Which?"}, question__image_ids=[1]) == {
        "rfi": {"question": {"body": "Which?", "image_ids": [1]}}
    }
    assert body("rfis", question__image_ids=[1], question={"body": "Which?"}) == {
        "rfi": {"question": {"body": "Which?", "image_ids": [1]}}
    }


def test_fields_beside_the_envelope_and_in_the_query() -> None:
    assert body("images", image_name="a.jpg", upload_uuid="u", description="d") == {
        "image_name": "a.jpg",
        "upload_uuid": "u",
        "image": {"description": "d"},
    }
    made = request("submittals", {"number": "1", "send_emails": "true"})
    assert made.query == (("send_emails", "true"),)
    for blank in (None, ""):
        assert request("submittals", {"number": "1", "send_emails": blank}).query == ()
    assert made.json == {"submittal": {"number": "1"}}


def test_custom_fields_are_sent_flat_however_they_are_written() -> None:
    expected = {"rfi": {"custom_field_7": 4}}
    assert body("rfis", custom_field_7=4) == expected
    assert body("rfis", custom_fields__custom_field_7__value=4) == expected
    assert body("rfis", custom_fields__custom_field_7=4) == expected
    assert (
        body("rfis", custom_fields={"custom_field_7": {"data_type": "x", "value": 4}}) == expected
    )
    assert body("rfis", custom_field_7={"value": {"id": 4, "label": "Open"}}) == expected
    assert body("rfis", custom_field_7=[{"id": 4}, 5]) == {"rfi": {"custom_field_7": [4, 5]}}


@pytest.mark.parametrize(
    ("table", "field", "value", "sent"),
    [
        ("rfis", "rfi_manager_id", "12", 12),
        ("rfis", "rfi_manager_id", 562949953421313, 562949953421313),
        ("rfis", "private", "true", True),
        ("rfis", "private", 0, False),
        ("rfis", "due_date", "2026-12-01T23:00:00Z", "2026-12-01"),
        ("rfis", "due_date", None, None),
        ("rfis", "due_date", "", ""),
        ("rfis", "subject", "12", "12"),
        ("rfis", "assignee_ids", ["1"], ["1"]),
        ("notes_logs", "datetime", "2026-12-01", "2026-12-01T00:00:00Z"),
        ("notes_logs", "datetime", "2026-12-01T08:00Z", "2026-12-01T08:00:00Z"),
        ("notes_logs", "datetime", "2026-12-01 08:00:30", "2026-12-01T08:00:30Z"),
        ("notes_logs", "datetime", "2026-12-01T08:00:00+0200", "2026-12-01T08:00:00+02:00"),
        ("purchase_order_contracts", "retainage_percent", 12.5, "12.5"),
        ("purchase_order_contracts", "retainage_percent", " 12.50 ", "12.50"),
        ("manpower_logs", "num_workers", "4", 4),
    ],
)
def test_values_are_sent_as_their_field_takes_them(
    table: str, field: str, value: object, sent: object
) -> None:
    made = request(table, {field: value}).json
    assert isinstance(made, dict)
    envelope = next(inner for inner in made.values() if isinstance(inner, dict))
    assert envelope == {field: sent}
    assert type(envelope[field]) is type(sent)


def test_numbers_in_text_become_numbers() -> None:
    resource = {"latitude": "51.5", "longitude": "7", "square_feet": 10}
    assert request("projects", resource, target={}).json == {
        "company_id": COMPANY,
        "project": {"latitude": 51.5, "longitude": 7, "square_feet": 10},
    }


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"subjekt": "x"}, "RFIs have no field “subjekt”. Did you mean “subject”?"),
        ({"zzz": "x"}, "RFIs have no field “zzz”."),
        ({"created_at": "x"}, "“created_at” of RFIs can be read but not written"),
        ({"id": 7}, "“id” of RFIs can be read but not written"),
        ({"rfi_manager_id": "Ada"}, "“rfi_manager_id” must be a whole number"),
        ({"rfi_manager_id": 1.5}, "“rfi_manager_id” must be a whole number"),
        ({"private": "perhaps"}, "“private” must be true or false"),
        ({"due_date": "31/12/2026"}, "“due_date” must be a date"),
        ({"schedule_impact.value": "x"}, "“schedule_impact.value” must be a number"),
        ({"cost_impact.value": "x"}, "“cost_impact.value” must be a number"),
        ({"question": "Which?", "question.body": "x"}, "cannot be set beside a plain"),
        ({"question.body": "x", "question": {"body": "y"}, "question.x": 1}, "no field"),
        ({"question.body": "x", "question": "y"}, "“question” is set twice"),
    ],
)
def test_what_procore_would_lose_is_refused_by_name(record: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        request("rfis", record)
    assert said in refusal.value.message


def test_name_that_procore_takes_and_we_do_not_leads_to_ours() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        request("tasks", {"start": "2026-12-01"})
    assert refusal.value.message == (
        "Schedule tasks have no field “start”; it is called “start_datetime” here, in both "
        "directions."
    )


@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.UPDATE])
@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"question": {"body": "x", "due_date": "soon"}}, "“question.due_date” must be a date"),
        ({"distribution_ids": [{"sent_at": "2026-13-01"}]}, "“distribution_ids.sent_at” must be a"),
        ({"question": {"attachments": [{"date": "1.2.26"}]}}, "“question.attachments.date” must"),
    ],
)
def test_date_that_procore_would_store_as_null_is_refused_wherever_it_stands(
    record: dict[str, object], said: str, operation: Operation
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        write_request(
            load_catalog().resource("rfis"),
            operation,
            source(),
            IN_PROJECT,
            record_id=None if operation is Operation.CREATE else "9",
            record=record,
        )
    assert said in refusal.value.message
    assert "soon" not in refusal.value.message


def test_values_inside_objects_and_lists_are_sent_as_their_type_takes_them() -> None:
    sent = write_request(
        load_catalog().resource("rfis"),
        Operation.CREATE,
        source(),
        IN_PROJECT,
        record={
            "cost_impact": {"status": "yes", "value": "12.50"},
            "question": {"attachments": [{"date": "2026-12-01", "name": "a"}, "b"], "body": ""},
        },
    )
    assert sent.json == {
        "rfi": {
            "cost_impact": {"status": "yes", "value": "12.50"},
            "question": {"attachments": [{"date": "2026-12-01", "name": "a"}, "b"], "body": ""},
        }
    }


def test_companys_own_fields_are_sent_as_their_type_takes_them() -> None:
    types = {"custom_field_7": FieldType.DATETIME, "custom_field_9": FieldType.NUMBER}
    record = {
        "subject": "Door",
        "custom_field_7": "2026-12-01",
        "custom_field_8": "12",
        "custom_fields": {"custom_field_9": {"value": "12.5"}},
    }
    assert with_own_values(record, types.get) == {
        "subject": "Door",
        "custom_field_7": "2026-12-01T00:00:00Z",
        "custom_field_8": "12",
        "custom_field_9": 12.5,
    }
    for malformed in (
        {"custom_field_7": "31/12/2026"},
        {"custom_fields.custom_field_7.value": "31/12/2026"},
    ):
        with pytest.raises(InvalidRequestError, match="“custom_field_7” must be a time"):
            with_own_values(malformed, types.get)


def test_fields_are_sent_under_the_names_that_procore_takes() -> None:
    assert request("punch_items", {"due_date": "2026-12-01", "name": "Door"}).json == {
        "project_id": 5001,
        "punch_item": {"due": "2026-12-01", "name": "Door"},
    }
    parts = {"cost_impact": {"status": "yes", "value": "5"}}
    target = {**IN_PROJECT, "generic_tool_id": "3"}
    for record in (parts, {"cost_impact.status": "yes", "cost_impact.value": "5"}):
        made = request("generic_tool_items", dict(record), target=target).json
        assert made == {"generic_tool_item": {"cost_impact": "yes", "cost_impact_value": "5"}}


def test_record_nested_without_end_is_refused() -> None:
    value: object = "x"
    for _ in range(40):
        value = {"a": value}
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        request("rfis", {"question": {"attachments": [value]}})


def test_malformed_time_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="must be a time"):
        request("notes_logs", {"datetime": "noon"})


def test_operation_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UnsupportedOperationError, match="cannot be deleted"):
        request("rfis", None, operation=Operation.DELETE)
