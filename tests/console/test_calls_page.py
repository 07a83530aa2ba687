from doubles.console_browser import Browser
from doubles.relay_node import Node


async def make_source(node: Node, title: str = "Projects") -> str:
    made = await node.api.post(
        "/api/datasources",
        json={
            "title": title,
            "type": "procore",
            "settings": {"companyId": "1", "environment": "live"},
        },
    )
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def run_call(node: Node) -> str:
    """Make a call that no connector is there for; it has a record like any other."""
    source = await make_source(node)
    answer = await node.api.get(
        f"/api/datasources/{source}/records/projects", headers={"Cloud-Connect-Deadline-Ms": "1000"}
    )
    assert answer.status_code == 503, answer.text
    return str(answer.json()["call_id"])


async def test_calls_are_listed_narrowed_and_found_by_id(node: Node, admin: Browser) -> None:
    call = await run_call(node)
    assert call in (await admin.get("/calls")).text
    assert call in (await admin.get("/calls?outcome=not_executed")).text
    assert call not in (await admin.get("/calls?outcome=completed")).text
    found = await admin.get(f"/calls?q={call}")
    assert found.headers["location"] == f"/console/calls/{call}"


async def test_call_says_what_is_certain_and_who_ran_it(node: Node, admin: Browser) -> None:
    call = await run_call(node)
    page = (await admin.get(f"/calls/{call}")).text
    assert "repeated safely" in page
    assert "connector_offline" in page


async def test_id_that_does_not_exist_is_said_beside_the_field(admin: Browser) -> None:
    answer = await admin.get("/calls?q=call_0000000000000000")
    assert 'id="f-q-error"' in answer.text
    assert (await admin.get("/calls/call_0000000000000000")).status_code == 404
    assert (await admin.get("/calls/nonsense")).status_code == 404


async def test_partner_finds_calls_by_id_and_sees_no_list(node: Node, admin: Browser) -> None:
    call = await run_call(node)
    made = await admin.post(
        "/people/new", username="paul", role="partner", password="correct horse battery"
    )
    assert made.status_code == 303
    await admin.post("/sign-out")
    await admin.sign_in("paul")
    page = (await admin.get("/calls")).text
    assert call not in page
    assert "look a call up by its id" in page
    assert (await admin.get(f"/calls/{call}")).status_code == 200


async def test_overview_tells_what_needs_attention_first(node: Node, admin: Browser) -> None:
    empty = (await admin.get("/")).text
    assert "No connector yet" in empty
    await node.store.connector(name="Site office")
    await make_source(node, "Half a source")
    page = (await admin.get("/")).text
    assert "Needs attention" in page
    assert "It is offline" in page
    assert "0 of 1" in page
