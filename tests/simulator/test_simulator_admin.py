"""The admin origin: ledger, audit, counters, state; and the two transfer endpoints."""

import hashlib
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from doubles.simulator_process import COMPANY, LARGE_COMPANY, PROJECT, Simulator

ME = "/rest/v1.0/me"
BLOB = "/rest/v1.0/simulator/blob"
SINK = "/rest/v1.0/simulator/sink"


def test_health_and_unknown_paths(simulator: Simulator) -> None:
    assert simulator.admin("GET", "/healthz") == {"status": "ok"}
    base = simulator.ready["admin_url"]
    assert simulator.http.get(f"{base}/nothing").status_code == 404
    assert simulator.http.delete(f"{base}/faults/99").status_code == 404
    assert simulator.http.delete(f"{base}/faults/x").status_code == 404


def test_requests_are_kept_as_received(simulator: Simulator, api: httpx.Client) -> None:
    api.get(f"/rest/v1.0/projects/{PROJECT}/rfis/%31?filters[id][]=1&filters[id][]=2&x=%22")
    found = simulator.requests(path="/rfis/%31$", method="get")
    (entry,) = found
    assert entry["query"] == "filters[id][]=1&filters[id][]=2&x=%22"
    assert entry["status"] == 404
    assert entry["executed"] is False
    assert entry["environment"] == "developer_sandbox"
    assert simulator.requests(after=str(entry["id"])) == []
    assert len(simulator.admin("GET", "/requests", params={"limit": "1"})["items"]) == 1


def test_ledger_is_filtered_and_cleared(simulator: Simulator, api: httpx.Client) -> None:
    for name in ("One", "Two"):
        body = {"company_id": COMPANY, "vendor": {"name": name}}
        api.post("/rest/v1.0/vendors", json=body)
    assert len(simulator.ledger(resource="vendors", method="POST")) == 2
    assert [entry["marker"] for entry in simulator.ledger(contains="Two")] == ["Two"]
    assert simulator.ledger(path="projects") == []
    assert len(simulator.ledger(after="1")) in {0, 1, 2}
    simulator.admin("DELETE", "/ledger")
    assert simulator.ledger() == []
    counters = simulator.counters()
    assert {"requests", "executions", "tokens_issued", "rate_limited", "wrong_company"} <= set(
        counters
    )
    assert set(counters.values()) == {0}


def test_counters_know_the_greatest_concurrency(simulator: Simulator, api: httpx.Client) -> None:
    simulator.behave(latency_ms=200)
    threads = [threading.Thread(target=lambda: api.get(ME)) for _ in range(5)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= 0.2
    counters = simulator.counters()
    assert counters["max_concurrent_api_requests"] == 5
    assert counters["api_requests"] == 5
    assert counters["tokens_issued"] >= 1


def test_read_is_given_up_and_write_goes_on_when_the_caller_leaves(
    simulator: Simulator, api: httpx.Client
) -> None:
    simulator.behave(latency_ms=400)
    body = {"company_id": COMPANY, "vendor": {"name": "Orphan"}}
    with pytest.raises(httpx.ReadTimeout):
        api.get(ME, timeout=0.1)
    with pytest.raises(httpx.ReadTimeout):
        api.post("/rest/v1.0/vendors", json=body, timeout=0.1)
    end = time.monotonic() + 5
    while not simulator.ledger(marker="Orphan"):
        assert time.monotonic() < end
        time.sleep(0.02)
    (read,) = simulator.requests(path=ME)
    assert (read["ended"], read["status"]) == ("disconnected", None)


def test_state_is_told_and_reset(simulator: Simulator) -> None:
    state = simulator.admin("GET", "/state")
    assert set(state["environments"]) == {"live", "monthly_sandbox", "developer_sandbox"}
    assert state["behaviour"]["spike_limit"] == 0
    simulator.state(
        environment="live",
        companies=[{"id": COMPANY, "connected": False, "permitted_projects": [PROJECT]}],
        tools=[{"company_id": LARGE_COMPANY, "tool": "rfis", "level": "off"}],
        behaviour={"latency_ms": 5, "window": "fixed", "auto_approve": True},
    )
    changed = simulator.admin("GET", "/state")
    live = changed["environments"]["live"]
    assert live["companies"][0]["connected"] is False
    assert live["companies"][0]["permitted_projects"] == [PROJECT]
    assert live["tools"] == [
        {"company_id": LARGE_COMPANY, "project_id": None, "tool": "rfis", "level": "off"}
    ]
    assert changed["environments"]["developer_sandbox"]["companies"][0]["connected"] is True
    after = simulator.state(reset=True)
    assert after["environments"]["live"]["tools"] == []
    assert after["behaviour"] == state["behaviour"]


def test_reset_brings_the_seeded_rows_back(simulator: Simulator, api: httpx.Client) -> None:
    path = "/rest/v1.0/purchase_order_contracts"
    rows = api.get(path, params={"project_id": PROJECT}).json()
    api.delete(f"{path}/{rows[0]['id']}", params={"project_id": PROJECT})
    simulator.state(reset=True)
    assert api.get(path, params={"project_id": PROJECT}).json() == rows


@pytest.mark.parametrize(
    "change",
    [
        [],
        {"unheard": 1},
        {"environment": "staging"},
        {"behaviour": []},
        {"behaviour": {"colour": 1}},
        {"behaviour": {"spike_limit": "x"}},
        {"behaviour": {"retry_after": "no"}},
        {"behaviour": {"window": "round"}},
        {"companies": [1]},
        {"companies": [{"id": 1}]},
        {"companies": [{"id": COMPANY, "retired_custom_fields": 5}]},
        {"companies": [{"id": COMPANY, "permitted_projects": ["a"]}]},
        {"redirect_uris": 5},
        {"tools": [{"company_id": 1}]},
        {"tools": [{"company_id": COMPANY, "tool": "rfis", "level": "god"}]},
        {"advance_seconds": "x"},
    ],
)
def test_wrong_change_of_state_is_refused(simulator: Simulator, change: Any) -> None:
    url = f"{simulator.ready['admin_url']}/state"
    assert simulator.http.post(url, json=change).status_code == 400
    assert simulator.http.post(url, content=b"{").status_code == 400


def test_blob_of_any_size_is_the_same_each_time(simulator: Simulator, api: httpx.Client) -> None:
    first = api.get(BLOB, params={"size": 200_001})
    assert first.headers["content-length"] == "200001"
    assert first.content == api.get(BLOB, params={"size": 200_001, "chunked": "true"}).content
    assert api.get(BLOB, params={"size": 0}).content == b""
    typed = api.get(BLOB, params={"type": "image/jpeg"})
    assert (typed.headers["content-type"], len(typed.content)) == ("image/jpeg", 1024)
    assert api.get(BLOB, params={"size": "big"}).status_code == 400
    assert api.delete(BLOB).status_code == 405
    assert api.get(SINK).status_code == 405
    assert api.head(BLOB).headers["content-length"] == "1024"
    assert simulator.http.get(f"{simulator.ready['api_url']}{BLOB}").status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_sink_tells_size_and_hash(simulator: Simulator, api: httpx.Client, method: str) -> None:
    content = b"abc" * 100_000
    simulator.behave(latency_ms=1)
    answer = api.request(method, SINK, content=iter([content, content])).json()
    assert answer == {"size": 600_000, "sha256": hashlib.sha256(content * 2).hexdigest()}
    assert simulator.counters()["sink_bytes"] == 600_000


def test_sink_notices_that_an_upload_was_cut_short(simulator: Simulator, api: httpx.Client) -> None:
    def broken() -> Any:
        yield b"x" * 1000
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="disk"):
        api.post(SINK, content=broken())
    end = time.monotonic() + 5
    while "sinks_cut_short" not in simulator.counters():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_sink_can_fail_after_it_took_everything(simulator: Simulator, api: httpx.Client) -> None:
    simulator.fault("server_error", path="sink", after_execute=True)
    assert api.post(SINK, content=b"x").status_code == 500
    (entry,) = simulator.requests(path="sink")
    assert entry["executed"] is True


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_long_bodies_pass_in_constant_memory(simulator: Simulator, api: httpx.Client) -> None:
    size = 64 * 1024 * 1024
    api.get(BLOB, params={"size": 4_000_000})
    before = resident_bytes(simulator.pid)
    with api.stream("GET", BLOB, params={"size": size}) as response:
        assert sum(len(piece) for piece in response.iter_raw()) == size
    block = bytes(1024 * 1024)
    assert api.post(SINK, content=(block for _ in range(64))).json()["size"] == size
    assert resident_bytes(simulator.pid) - before < 8 * 1024 * 1024
