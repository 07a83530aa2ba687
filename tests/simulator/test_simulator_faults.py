"""Scripted faults: what the caller sees, and what the ledger knows."""

import threading
import time
from typing import Any

import httpx
import pytest

from doubles.simulator_process import COMPANY, Simulator
from doubles.waiting import until_seen

ME = "/rest/v1.0/me"
VENDORS = "/rest/v1.0/vendors"
BODY = {"company_id": COMPANY, "vendor": {"name": "Once"}}


def until_disconnected(simulator: Simulator, **query: str) -> None:
    """Wait until the last request's client has gone, as far as the simulator knows."""
    until_seen(lambda: simulator.requests(**query)[-1]["ended"] == "disconnected")


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        ("server_error", 500, "application/json"),
        ("bad_gateway", 502, "text/html"),
        ("unavailable", 503, "application/json"),
        ("timeout", 408, "application/json"),
        ("rate_limited", 429, "text/plain"),
        ({"kind": "status", "status": 418}, 418, ""),
    ],
)
def test_answer_can_be_replaced_for_a_while(
    simulator: Simulator, api: httpx.Client, action: Any, status: int, kind: str
) -> None:
    simulator.fault(action, method="POST", path="vendors", times=1)
    refused = api.post(VENDORS, json=BODY)
    assert refused.status_code == status
    assert refused.headers.get("content-type", "").startswith(kind)
    assert simulator.ledger() == []
    assert api.post(VENDORS, json=BODY).status_code == 201
    if status in {429, 503}:
        assert refused.headers["retry-after"] == "1"


def test_answer_can_be_replaced_after_the_execution(
    simulator: Simulator, api: httpx.Client
) -> None:
    action = {
        "kind": "status", "status": 504, "body": "late", "content_type": "text/plain",
        "headers": [["X-A", "1"], ["X-A", "2"]],
    }  # fmt: skip
    simulator.fault(action, path="vendors$", after_execute=True)
    answer = api.post(VENDORS, json=BODY)
    assert (answer.status_code, answer.text) == (504, "late")
    assert answer.headers.get_list("x-a") == ["1", "2"]
    assert len(simulator.ledger()) == 1


@pytest.mark.parametrize("kind", ["reset", "drop"])
@pytest.mark.parametrize("after_execute", [False, True])
def test_connection_can_be_lost_before_or_after_the_commit(
    simulator: Simulator, api: httpx.Client, kind: str, *, after_execute: bool
) -> None:
    simulator.fault(kind, method="POST", times=1, after_execute=after_execute)
    with pytest.raises(httpx.TransportError):
        api.post(VENDORS, json=BODY)
    assert len(simulator.ledger()) == int(after_execute)
    (request,) = simulator.requests(method="POST", origin="api")
    assert (request["ended"], request["fault"]) == ("dropped", kind)
    assert request["executed"] is after_execute


@pytest.mark.parametrize("after_execute", [False, True])
def test_hanging_ends_when_the_caller_leaves(
    simulator: Simulator, api: httpx.Client, *, after_execute: bool
) -> None:
    simulator.fault("hang", method="POST", after_execute=after_execute)
    with pytest.raises(httpx.ReadTimeout):
        api.post(VENDORS, json=BODY, timeout=0.2)
    until_disconnected(simulator, method="POST", origin="api")
    assert len(simulator.ledger()) == int(after_execute)


def test_hanging_can_have_an_end(simulator: Simulator, api: httpx.Client) -> None:
    simulator.fault({"kind": "hang", "seconds": 0.1})
    with pytest.raises(httpx.RemoteProtocolError):
        api.get(ME)


def test_first_byte_can_be_slow_before_or_after_the_commit(
    simulator: Simulator, api: httpx.Client
) -> None:
    for after_execute, executed in ((False, 0), (True, 1)):
        simulator.admin("DELETE", "/faults")
        simulator.admin("DELETE", "/ledger")
        simulator.fault(
            {"kind": "slow_first_byte", "seconds": 0.5}, method="POST", after_execute=after_execute
        )
        thread = threading.Thread(target=lambda: api.post(VENDORS, json=BODY))
        thread.start()
        until_seen(lambda: simulator.requests(method="POST"))
        assert len(simulator.ledger()) == executed
        thread.join()
        assert len(simulator.ledger()) == 1


def test_write_is_not_executed_when_the_caller_left_before(
    simulator: Simulator, api: httpx.Client
) -> None:
    simulator.fault({"kind": "slow_first_byte", "seconds": 5}, method="POST")
    with pytest.raises(httpx.ReadTimeout):
        api.post(VENDORS, json=BODY, timeout=0.1)
    until_disconnected(simulator, method="POST", origin="api")
    assert simulator.ledger() == []


def test_body_can_be_slow_cut_short_or_endless(simulator: Simulator, api: httpx.Client) -> None:
    whole = api.get(ME).content
    simulator.fault({"kind": "slow_body", "seconds": 0.01, "size": 8}, times=1)
    started = time.monotonic()
    assert api.get(ME).content == whole
    assert time.monotonic() - started >= 0.05
    for action in ("truncate", {"kind": "truncate", "size": 3}):
        simulator.fault(action, times=1)
        with pytest.raises(httpx.RemoteProtocolError):
            api.get(ME)
    simulator.fault({"kind": "endless_body", "size": 1000, "seconds": 0.001}, times=1)
    with api.stream("GET", ME) as response:
        pieces = response.iter_raw(1000)
        assert [len(next(pieces)) for _ in range(5)] == [1000] * 5
    until_disconnected(simulator)
    simulator.fault({"kind": "slow_body", "seconds": 5}, times=1)
    with api.stream("GET", ME) as response:
        next(response.iter_raw(1))
    until_disconnected(simulator)


def test_connection_can_be_closed_after_a_proper_answer(
    simulator: Simulator, api: httpx.Client
) -> None:
    simulator.fault({"kind": "close_after", "seconds": 0.05}, times=1)
    assert api.get(ME).status_code == 200
    time.sleep(0.1)
    assert api.get(ME).status_code == 200
    assert len(simulator.requests(path=ME)) == 2


def test_headers_and_compression_can_be_hostile(simulator: Simulator, api: httpx.Client) -> None:
    simulator.fault({"kind": "many_headers", "count": 50}, times=1)
    assert sum(name.startswith("x-filler") for name in api.get(ME).headers) == 50
    simulator.fault({"kind": "gzip_bomb", "size": 5_000_000}, times=1)
    with api.stream("GET", ME) as response:
        assert int(response.headers["content-length"]) < 20_000
        assert len(response.read()) == 5_000_000
    simulator.fault({"kind": "status", "status": 302, "headers": {"Location": "http://e.example"}})
    assert api.get(ME).headers["location"] == "http://e.example"


def test_rules_can_be_aimed_skipped_diced_and_removed(
    simulator: Simulator, api: httpx.Client
) -> None:
    rule = simulator.fault("server_error", query="mark=1", skip=1, times=1, environment="live")
    assert simulator.admin("DELETE", f"/faults/{rule['id']}") is None
    simulator.fault("server_error", query="mark=1", skip=1, times=1)
    answers = [api.get(f"{ME}?mark=1").status_code for _ in range(3)]
    assert answers == [200, 500, 200]
    (listed,) = simulator.admin("GET", "/faults")["items"]
    assert (listed["seen"], listed["hits"]) == (2, 1)
    simulator.admin("DELETE", "/faults")
    simulator.fault("server_error", probability=0.5)
    first = [api.get(ME).status_code for _ in range(20)]
    simulator.admin("DELETE", "/faults")
    simulator.fault("server_error", probability=0.5)
    assert [api.get(ME).status_code for _ in range(20)] == first
    assert set(first) == {200, 500}


def test_several_rules_can_be_made_at_once(simulator: Simulator, api: httpx.Client) -> None:
    rules = [{"action": "timeout", "times": 1}, {"action": "bad_gateway", "times": 1}]
    assert len(simulator.admin("POST", "/faults", json=rules)["items"]) == 2
    assert [api.get(ME).status_code for _ in range(3)] == [408, 502, 200]


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"action": "explode"},
        {"action": {"kind": "status", "colour": "red"}},
        {"action": "reset", "path": "("},
        {"action": "reset", "method": 5},
        {"action": "reset", "colour": "red"},
        [1],
    ],
)
def test_wrong_rule_is_refused(simulator: Simulator, rule: Any) -> None:
    answer = simulator.http.post(f"{simulator.ready['admin_url']}/faults", json=rule)
    assert answer.status_code == 400
    assert simulator.admin("GET", "/faults")["items"] == []


def test_login_origin_has_faults_too(simulator: Simulator) -> None:
    simulator.fault("server_error", origin="login", times=1)
    assert simulator.token().status_code == 500
    assert simulator.token().status_code == 200
    simulator.fault({"kind": "slow_first_byte", "seconds": 0.01}, origin="login", times=1)
    assert simulator.token().status_code == 200
