"""Batch updates of correspondence: each item's fate is told, and one failure stops all."""

from typing import Any

import httpx
import pytest

from doubles.simulator_process import PROJECT

BASE = f"/rest/v1.0/projects/{PROJECT}"
ACROSS = f"{BASE}/correspondence_type_items"


def items_of(api: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(ACROSS).json()
    return found


def send(api: httpx.Client, path: str, *items: dict[str, Any], **query: str) -> Any:
    return api.patch(path, params=query, json={"generic_tool_items": list(items)}).json()


def test_items_of_one_type_and_across_types_are_changed_together(api: httpx.Client) -> None:
    first, second, *_ = items_of(api)
    told = send(api, ACROSS, *({"id": one["id"], "status": "Shut"} for one in (first, second)))
    assert [(one["id"], one["status"]) for one in told] == [
        (first["id"], "success"),
        (second["id"], "success"),
    ]
    assert [one["status"] for one in items_of(api)[:2]] == ["Shut", "Shut"]
    tool = f"{BASE}/generic_tools/{first['generic_tool']['id']}/generic_tool_items"
    (other,) = send(api, tool, {"id": second["id"], "status": "x"})
    assert (other["status"], other["errors"]) == (
        "failure",
        {"id": ["Entity with this ID not found"]},
    )


@pytest.mark.parametrize(
    ("mode", "status", "kept"),
    [({}, "failure", True), ({"completion_mode": "atomic"}, "success", False)],
)
def test_one_that_fails_stops_the_others_unless_each_is_for_itself(
    api: httpx.Client, mode: dict[str, str], status: str, *, kept: bool
) -> None:
    first, *_ = items_of(api)
    told = send(api, ACROSS, {"id": first["id"], "title": "New"}, {"id": 1, "title": "x"}, **mode)
    assert [one["status"] for one in told] == [status, "failure"]
    assert (items_of(api)[0]["title"] == first["title"]) is kept


def test_impossible_value_is_told_by_item_and_nothing_is_no_batch(api: httpx.Client) -> None:
    first, *_ = items_of(api)
    (told,) = send(api, ACROSS, {"id": first["id"], "assignee_ids": [1]})
    assert told["status"] == "failure"
    assert told["errors"]
    assert api.patch(ACROSS, json={"generic_tool_items": []}).status_code == 400


def test_item_is_found_below_its_own_type_only(api: httpx.Client) -> None:
    first, *_ = items_of(api)
    types = {one["generic_tool"]["id"] for one in items_of(api)}
    (other, *_) = types - {first["generic_tool"]["id"]}
    path = f"{BASE}/generic_tools/{{}}/generic_tool_items/{first['id']}"
    change = {"generic_tool_item": {"title": "New"}}
    assert api.get(path.format(first["generic_tool"]["id"])).status_code == 200
    assert api.get(path.format(other)).status_code == 404
    assert api.patch(path.format(other), json=change).status_code == 404
    assert api.delete(path.format(other)).status_code == 404
    assert items_of(api)[0]["title"] == first["title"]
