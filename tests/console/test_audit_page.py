import orjson

from doubles.console_browser import Browser


async def test_log_names_people_and_is_narrowed_by_kind(admin: Browser) -> None:
    await admin.post(
        "/people/new", username="anna", role="viewer", password="correct horse battery"
    )
    everything = (await admin.get("/audit")).text
    assert "user.create" in everything
    assert "anna" in everything
    assert "user.create" not in (await admin.get("/audit?kind=key")).text


async def test_moment_that_is_none_is_said_beside_its_field(admin: Browser) -> None:
    answer = await admin.get("/audit?since=yesterday-ish")
    assert answer.status_code == 422
    assert 'id="f-since-error"' in answer.text


async def test_log_is_verified(admin: Browser) -> None:
    answer = await admin.post("/audit/verify")
    assert "The log is whole" in answer.text


async def test_export_is_a_file_of_lines_with_their_hashes(admin: Browser) -> None:
    answer = await admin.get("/audit/export")
    assert "attachment" in answer.headers["content-disposition"]
    records = [orjson.loads(line) for line in answer.text.splitlines()]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert records[1]["prev"] == records[0]["hash"]


async def test_viewer_sees_no_audit_log(viewer: Browser) -> None:
    assert (await viewer.get("/audit")).status_code == 403
    assert (await viewer.get("/audit/export")).status_code == 403
