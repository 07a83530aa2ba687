import re

from doubles.canaries import remember
from doubles.console_browser import Browser
from doubles.relay_node import Node

_TOKEN = re.compile(r"<code>(ccj1\.[^<]+)</code>")


async def flag(node: Node, connector: str) -> str:
    found = await node.store.storage.of(node.store.subscription_id).connectors.get(connector)
    assert found is not None
    return found.flag.value


async def test_list_has_every_connector_and_finds_one_by_its_group(
    node: Node, admin: Browser
) -> None:
    await node.store.connector(name="Site office", group="sites")
    await node.store.connector(name="Head office")
    page = (await admin.get("/connectors")).text
    assert "Site office" in page
    assert "Head office" in page
    found = (await admin.get("/connectors?q=SITES")).text
    assert "Site office" in found
    assert "Head office" not in found


async def test_policy_is_told_as_the_agent_reported_it(node: Node, admin: Browser) -> None:
    report = {"policy": {"class": "test-only"}}
    connector = await node.store.connector(report=report, policy_class="read-write")
    assert "test-only" in (await admin.get("/connectors")).text
    page = (await admin.get(f"/connectors/{connector}")).text
    assert "test-only" in page
    assert "read-write" in page  # the most that its join token allows


async def test_long_list_comes_in_pages(node: Node, admin: Browser) -> None:
    for number in range(51):
        await node.store.connector(name=f"pc-{number:03}")
    first, second = await admin.get("/connectors"), await admin.get("/connectors?page=2")
    assert "pc-049" in first.text
    assert "pc-050" not in first.text
    assert "pc-050" in second.text


async def test_connector_of_another_subscription_does_not_exist(node: Node, admin: Browser) -> None:
    other = await node.store.subscription("Others")
    connector = await node.store.connector(subscription_id=other, name="not-yours")
    assert "not-yours" not in (await admin.get("/connectors")).text
    assert (await admin.get(f"/connectors/{connector}")).status_code == 404
    assert (await admin.post(f"/connectors/{connector}/revoke")).status_code == 404
    assert (await admin.post(f"/connectors/{connector}", name="mine")).status_code == 404


async def test_name_and_group_are_changed(node: Node, admin: Browser) -> None:
    connector = await node.store.connector()
    answer = await admin.post(f"/connectors/{connector}", name="Site office", group="sites")
    assert answer.status_code == 303
    page = (await admin.get(f"/connectors/{connector}")).text
    assert 'value="Site office"' in page
    assert 'value="sites"' in page
    refused = await admin.post(f"/connectors/{connector}", name="", group="kept as typed")
    assert refused.status_code == 422
    assert "kept as typed" in refused.text


async def test_connector_is_paused_for_as_long_as_is_chosen(node: Node, admin: Browser) -> None:
    connector = await node.store.connector(name="site office")
    path = f"/connectors/{connector}"
    assert "Pause site office?" in (await admin.get(f"{path}/pause")).text
    assert (await admin.post(f"{path}/pause", length="900")).status_code == 303
    page = (await admin.get(path)).text
    assert "It takes no calls for 15 minutes." in page
    assert "An administrator paused it until " in page
    assert "/resume" in page
    assert (await admin.post(f"{path}/resume")).status_code == 303
    resumed = (await admin.get(path)).text
    assert "It takes calls again." in resumed
    assert "An administrator paused it" not in resumed
    refused = await admin.post(f"{path}/pause", length="for ever")
    assert refused.status_code == 422
    assert "how long" in refused.text


async def test_connector_that_is_drained_says_so_and_ends_it_though_it_is_off(
    node: Node, admin: Browser
) -> None:
    path = f"/connectors/{await node.store.connector(status_flag='draining')}"
    page = (await admin.get(path)).text
    assert "An administrator drains it" in page
    assert "/undrain" in page
    assert (await admin.post(f"{path}/undrain")).status_code == 303
    page = (await admin.get(path)).text
    assert "It takes calls again once it is connected." in page
    assert "An administrator drains it" not in page
    assert "/undrain" not in page


async def test_connector_that_its_pc_paused_as_well_is_resumed_here_only(
    node: Node, admin: Browser
) -> None:
    path = f"/connectors/{await node.store.connector(report={'paused': True})}"
    assert (await admin.post(f"{path}/pause", length="900")).status_code == 303
    page = (await admin.get(path)).text
    assert "An administrator paused it until " in page
    assert "Somebody paused it on its PC" in page
    assert (await admin.post(f"{path}/resume")).status_code == 303
    resumed = (await admin.get(path)).text
    assert "Nobody keeps calls from it here any more." in resumed
    assert "It takes calls again." not in resumed
    assert "Somebody paused it on its PC" in resumed


async def test_connector_drains_takes_calls_again_and_is_revoked(
    node: Node, admin: Browser
) -> None:
    connector = await node.store.connector()
    assert (await admin.post(f"/connectors/{connector}/drain")).status_code == 303
    assert await flag(node, connector) == "draining"
    assert (await admin.post(f"/connectors/{connector}/undrain")).status_code == 303
    assert await flag(node, connector) == "active"
    asked = await admin.get(f"/connectors/{connector}/revoke")
    assert "cut now" in asked.text
    assert (await admin.post(f"/connectors/{connector}/revoke")).status_code == 303
    assert await flag(node, connector) == "revoked"
    assert connector in (await admin.get("/connectors?show=revoked")).text
    assert connector not in (await admin.get("/connectors")).text


async def test_echo_of_a_connector_that_is_away_says_so(node: Node, admin: Browser) -> None:
    connector = await node.store.connector()
    answer = await admin.post(f"/connectors/{connector}/echo")
    assert answer.status_code == 303
    assert "is not connected" in (await admin.get(f"/connectors/{connector}")).text


async def test_suspected_copy_is_let_back_after_a_warning(node: Node, admin: Browser) -> None:
    connector = await node.store.connector(status_flag="clone_suspected")
    page = (await admin.get(f"/connectors/{connector}")).text
    assert "two PCs use this connector" in page
    assert "Stop the copy first" in (await admin.get(f"/connectors/{connector}/recover")).text
    assert (await admin.post(f"/connectors/{connector}/recover")).status_code == 303


async def test_viewer_looks_and_changes_nothing(node: Node, viewer: Browser) -> None:
    connector = await node.store.connector()
    page = await viewer.get(f"/connectors/{connector}")
    assert page.status_code == 200
    for word in ("/revoke", "/drain", "Name and group"):
        assert word not in page.text
    assert "/connectors/add" not in (await viewer.get("/connectors")).text
    assert (await viewer.get("/connectors/add")).status_code == 403
    for action in ("revoke", "drain", "approve", "recover"):
        assert (await viewer.post(f"/connectors/{connector}/{action}")).status_code == 403


async def test_join_token_is_shown_once_with_commands_that_do_not_hold_it(admin: Browser) -> None:
    answer = await admin.post("/connectors/add", expires_in="900", policy_class="read-only")
    assert answer.headers["cache-control"] == "no-store"
    found = _TOKEN.search(answer.text)
    assert found is not None
    remember("join token", found[1])
    assert answer.text.count(found[1]) == 1  # in its box, and in no command
    assert "cloud-connect enrol --relay http://127.0.0.1" in answer.text
    assert "pip install cloud_connect-" in answer.text  # the wheel: an index may hold anything
    token_id = found[1].split(".")[1]
    waiting = (await admin.get("/connectors/add")).text
    assert token_id in waiting
    assert found[1] not in waiting
    assert "Waiting for the PC" in (await admin.get(f"/connectors/add/{token_id}")).text
    assert (await admin.post(f"/connectors/add/{token_id}/revoke")).status_code == 303
    assert "token is revoked" in (await admin.get(f"/connectors/add/{token_id}")).text


async def test_join_token_for_a_week_is_refused(admin: Browser) -> None:
    answer = await admin.post("/connectors/add", expires_in="604800", policy_class="read-only")
    assert answer.status_code == 422
    assert 'id="f-expires_in-error"' in answer.text


async def test_events_reach_the_page_of_who_is_signed_in_only(
    admin: Browser, stranger: Browser
) -> None:
    refused = await stranger.get("/events", Accept="text/event-stream")
    assert refused.status_code == 401
    async with admin.client.stream("GET", "/console/events?about=connectors") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line == "event: ready":
                break
