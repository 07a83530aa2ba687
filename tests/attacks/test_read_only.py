"""Writes under ``mode = "read-only"``, in whatever dress they come."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Operation
from cloud_connect_agent.policy import PolicyClass
from cloud_connect_agent.policy_file import starter
from doubles.policed_agent import policed_agent
from doubles.simulator_process import COMPANY, PROJECT, Simulator

READ_ONLY = starter(PolicyClass.READ_WRITE).replace('mode = "normal"', 'mode = "read-only"')
IN_PROJECT = {"scope": {"project_id": str(PROJECT)}}
RFI = {"subject": "No", "question": {"body": "No"}}
WRITING = ("POST", "PUT", "PATCH", "DELETE")
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method")
JSON = ("content-type", "application/json")

TYPED: list[tuple[Operation, dict[str, Any], object]] = [
    (Operation.CREATE, {"resource": "rfis", **IN_PROJECT}, RFI),
    (Operation.CREATE, {"resource": "rfis", **IN_PROJECT}, [RFI, RFI]),
    (Operation.CREATE, {"resource": "vendors"}, [{"name": "No", "origin_id": "1"}] * 3),  # a sync
    (Operation.UPDATE, {"resource": "rfis", "record_id": "1", **IN_PROJECT}, RFI),
    (Operation.DELETE, {"resource": "punch_items", "record_id": "1", **IN_PROJECT}, b""),
    (
        Operation.CREATE,
        {"resource": "rfi_replies", "scope": {"rfi_id": "1", "project_id": str(PROJECT)}},
        {"body": "No"},
    ),
    (
        Operation.ATTACH,
        {"resource": "punch_items", "record_id": "1", "upload": "u", **IN_PROJECT},
        b"",
    ),
    (Operation.UPLOAD, {"filename": "a.txt", "project_id": PROJECT}, b"file"),
    (Operation.UPLOAD, {"filename": "a.txt", "resource": "punch_items"}, b"file"),
    *(
        (
            Operation.QUERY,
            {},
            {
                "action": action,
                "info": {"name": "punch_items"},
                "mappings": {"name": "No", "project_id": PROJECT},
                "conditions": [
                    {"arg1": {"name": name}, "operator": "eq", "arg2": {"value": value}}
                    for name, value in (("id", 1), ("project_id", PROJECT))
                ],
            },
        )
        for action in ("insert", "update", "delete")
    ),
]
SEARCHES = (
    f"rest/v1.0/projects/{PROJECT}/rfis/search",
    f"rest/v2.0/companies/{COMPANY}/projects/{PROJECT}/search",
    f"rest/v1.0/companies/{COMPANY}/vendors/filter",
    "rest/v1.0/vendors/sync",
    "rest/v1.0/graphql",
)


@pytest.mark.catalogue("T104")
@pytest.mark.slow
async def test_nothing_is_written_in_read_only_mode(simulator: Simulator, tmp_path: Path) -> None:
    rfis = f"rest/v1.0/projects/{PROJECT}/rfis"
    async with policed_agent(tmp_path, simulator, READ_ONLY) as agent:
        before = (await agent.raw("GET", rfis)).json
        for operation, params, body in TYPED:
            answer = await agent.call(operation, params, body)
            assert answer.failure.code == "policy_denied", (operation, answer.failure)
            assert "(rule mode)" in answer.failure.detail
        for method, path in product(WRITING, (rfis, f"{rfis}/1", *SEARCHES)):
            answer = await agent.raw(method, path, {"rfi": RFI}, headers=(JSON,))
            assert answer.problem.code == "policy_denied", (method, path)
            assert "(rule mode)" in answer.problem.detail
        for method, header, override in product(("GET", "HEAD"), OVERRIDES, WRITING):
            path = f"{rfis}/{before[0]['id']}" if override != "POST" else rfis
            dressed = ((header, override), (header.lower(), override), JSON)
            await agent.raw(method, path, {"rfi": RFI}, headers=dressed)
            asked = await agent.raw(method, f"{path}?_method={override}", headers=dressed)
            assert asked.problem.code == "invalid_request"
            asked = await agent.raw(method, f"{path}?%5Fmethod={override}&_METHOD={override}")
            assert asked.problem.code == "invalid_request"
        after = (await agent.raw("GET", rfis)).json
    assert simulator.ledger() == []
    assert after == before
    sent = simulator.requests()
    api = [one for one in sent if one["path"].startswith("/rest/")]
    assert {one["method"] for one in api} == {"GET", "HEAD"}
    names = {name.lower() for one in api for name, *_ in one["headers"]}
    assert names.isdisjoint(name.lower() for name in OVERRIDES)


@pytest.mark.catalogue("T104")
async def test_no_form_says_that_it_is_another_method(simulator: Simulator, tmp_path: Path) -> None:
    policy = '[[rules]]\nid = "all"\neffect = "allow"\n'
    path = f"rest/v1.0/projects/{PROJECT}/rfis"
    form = ("content-type", "application/x-www-form-urlencoded")
    async with policed_agent(tmp_path, simulator, policy) as agent:
        for body in (b"_method=delete", b"rfi[subject]=x&%5fmethod=patch", b"a=b;_method=put"):
            answer = await agent.raw("POST", path, body, headers=(form,))
            assert answer.problem.code == "invalid_request", body
    assert simulator.ledger() == []
