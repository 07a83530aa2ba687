"""Calls that name one company or project and want to reach another's."""

from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Operation
from doubles.policed_agent import PolicedAgent, policed_agent
from doubles.simulator_process import COMPANY, LARGE_COMPANY, PROJECT, Simulator

ALLOW_ALL = '[[rules]]\nid = "all"\neffect = "allow"\n'
FOREIGN = 562949953421813  # a project of the other company, which the same grant reaches
JSON = (("content-type", "application/json"),)
FORM = (("content-type", "application/x-www-form-urlencoded"),)
PARTS = (("content-type", "multipart/form-data; boundary=b"),)
RFI = {"subject": "No", "question": {"body": "No"}}
CREATE = "rest/v1.0/rfis"
INSIDE = f"rest/v1.0/projects/{PROJECT}/rfis"

Target = tuple[str, str, bytes | object, tuple[tuple[str, str], ...]]


def part(name: str, value: object) -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


END = b"--b--\r\n"


def company_ids() -> list[Target]:
    """Raw calls of which header, path, query and body do not agree about the company."""
    other = LARGE_COMPANY
    path = f"rest/v1.0/companies/{other}/vendors"
    body: list[Any] = [other, str(other), float(COMPANY), COMPANY + 0.5, -COMPANY, [COMPANY], True]
    body += [
        f"{COMPANY} ",
        f"0{COMPANY}",
        f"{COMPANY}.0",
        {"id": COMPANY},
        10**30,
        "",
        f"+{COMPANY}",
    ]
    return [
        ("POST", path, {"vendor": {}}, JSON),
        ("POST", CREATE, {"rfi": RFI}, (*JSON, ("Procore-Company-Id", str(other)))),
        ("POST", CREATE, {"rfi": RFI}, (*JSON, ("procore-company-id", f"{COMPANY}, {other}"))),
        ("POST", f"{CREATE}?company_id={other}", {"rfi": RFI}, JSON),
        ("POST", f"{CREATE}?company_id[]={COMPANY}&company_id[0]={other}", {"rfi": RFI}, JSON),
        ("POST", f"{CREATE}?rfi[company_id]={other}", {"rfi": RFI}, JSON),
        *(("POST", CREATE, {"company_id": value, "rfi": RFI}, JSON) for value in body),
        *(("POST", CREATE, {"rfi": {**RFI, "company_id": value}}, JSON) for value in body),
        ("POST", CREATE, {"updates": [{"company_id": COMPANY}, {"company_id": other}]}, JSON),
        ("POST", CREATE, f"rfi[subject]=No&company_id={other}".encode(), FORM),
        ("POST", CREATE, f"rfi[company_id]={other}&rfi[subject]=No".encode(), FORM),
        ("POST", CREATE, f"rfi[subject]=No;company_id={other}".encode(), ()),
        ("POST", CREATE, part("company_id", other) + b"--b--\r\n", PARTS),
        ("POST", CREATE, part("company_id", other) + part("f", "x" * 90_000), PARTS),
        ("POST", CREATE, part("f", "x" * 90_000) + part("company_id", other) + END, PARTS),
        ("POST", CREATE, part("f", "x" * 90_000) + part("a[company_id]", other) + END, PARTS),
        ("POST", CREATE, part("f", "x" * 65_480) + part("company_id", other) + END, PARTS),
        ("POST", CREATE, part("f", 1).replace(b"--b", b"--c") + part("company_id", other), PARTS),
        ("POST", CREATE, b"preamble\r\n" + part("company_id", other) + END, PARTS),
        ("POST", CREATE, part("f", 1) + part("company_id", other).replace(b'"', b""), PARTS),
        (
            "POST",
            CREATE,
            part("f", 1) + part("x", 1).replace(b"name=", b"name*=utf-8''company_id;x="),
            PARTS,
        ),
        (
            "POST",
            CREATE,
            part("company_id", other) + END,
            (("content-type", "multipart/form-data"),),
        ),
        ("POST", CREATE, {"filler": "x" * 1_200_000, "company_id": other}, JSON),
        ("POST", f"rest/v1.0/companies/-{COMPANY}/vendors", {}, JSON),
        ("POST", f"rest/v1.0/companies/{COMPANY}.5/vendors", {}, JSON),
        ("POST", f"rest/v1.0/companies/{COMPANY}e0/vendors", {}, JSON),
        ("POST", f"rest/v1.0/companies/{10**40}/vendors", {}, JSON),
    ]


def project_ids() -> list[Target]:
    """Raw calls for a project that is none of the company's."""
    named: list[Any] = [FOREIGN, str(FOREIGN), -1, 1.5, 10**30, [PROJECT, FOREIGN], "x", 0]
    return [
        ("POST", f"rest/v1.0/projects/{FOREIGN}/rfis", {"rfi": RFI}, JSON),
        ("GET", f"rest/v1.0/projects/{FOREIGN}/rfis", b"", ()),
        ("GET", f"rest/v1.0/rfis?project_id={FOREIGN}", b"", ()),
        ("POST", f"{INSIDE}?project_id={FOREIGN}", {"rfi": RFI}, JSON),
        ("POST", f"{CREATE}?rfi[project_id]={FOREIGN}", {"rfi": RFI}, JSON),
        *(("POST", CREATE, {"project_id": one, "rfi": RFI}, JSON) for one in named),
        *(("POST", CREATE, {"rfi": {**RFI, "project_id": one}}, JSON) for one in named[:2]),
        ("PATCH", "rest/v1.0/vendors/sync", {"updates": [{"project_id": FOREIGN}]}, JSON),
        ("POST", CREATE, f"project_id={FOREIGN}&rfi[subject]=No".encode(), FORM),
        ("POST", CREATE, part("project_id", FOREIGN) + b"--b--\r\n", PARTS),
        *(
            ("GET", f"rest/v1.0/projects/{one}/rfis", b"", ())
            for one in ("-1", "1.5", "5001x", "0")
        ),
        ("GET", f"rest/v1.0/projects/{10**30}/rfis", b"", ()),
        ("GET", f"rest/v1.0/projects/{'9' * 5000}/rfis", b"", ()),
    ]


async def refused(agent: PolicedAgent, target: Target) -> str | None:
    """Say what is wrong with the answer, if anything is."""
    method, path, body, headers = target
    answer = await agent.raw(method, path, body, headers=headers)
    problem = answer.head.problem
    if problem is None or problem.code != "policy_denied" or "(rule " not in problem.detail:
        return f"{target!r:.200} -> {answer.head.status} {problem}"
    if (
        problem.outcome != "not_executed"
        and len(bytes(body) if isinstance(body, bytes) else b"") < 64_000
    ):
        return f"{target!r:.200} -> {problem.outcome}"
    return None


@pytest.mark.catalogue("T103")
@pytest.mark.slow
async def test_no_call_reaches_another_company_or_its_projects(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with policed_agent(tmp_path, simulator, ALLOW_ALL) as agent:
        wrong = [await refused(agent, target) for target in (*company_ids(), *project_ids())]
        assert [one for one in wrong if one is not None] == []
        vendor = {"company_id": COMPANY, "vendor": {"name": "Ours"}}
        own = await agent.raw("POST", "rest/v1.0/vendors", vendor, headers=JSON)
        assert own.head.status == 201, "what is the company's own must go through"
    assert [one["path"] for one in simulator.ledger()] == ["/rest/v1.0/vendors"]
    foreign = [one["path"] for one in simulator.requests() if f"/{LARGE_COMPANY}/" in one["path"]]
    assert foreign == []


TYPED: list[tuple[Operation, dict[str, Any], object]] = [
    (Operation.CREATE, {"resource": "rfis", "scope": {"project_id": str(FOREIGN)}}, RFI),
    (Operation.CREATE, {"resource": "rfis"}, {"project_id": FOREIGN, **RFI}),
    (Operation.CREATE, {"resource": "rfis"}, [{"project_id": PROJECT}, {"project_id": FOREIGN}]),
    (Operation.LIST, {"resource": "rfis", "scope": {"project_id": str(FOREIGN)}}, b""),
    (Operation.GET, {"resource": "projects", "record_id": str(FOREIGN)}, b""),
    (Operation.UPDATE, {"resource": "projects", "record_id": str(FOREIGN)}, {"name": "No"}),
    (
        Operation.DELETE,
        {"resource": "punch_items", "record_id": "1", "scope": {"project_id": str(FOREIGN)}},
        b"",
    ),
    (
        Operation.UPLOAD,
        {"filename": "a.txt", "project_id": FOREIGN, "resource": "punch_items"},
        b"file",
    ),
    (
        Operation.DRY_RUN,
        {"resource": "rfis", "verb": "create", "scope": {"project_id": str(FOREIGN)}},
        RFI,
    ),
    (
        Operation.QUERY,
        {},
        {
            "action": "delete",
            "info": {"name": "punch_items"},
            "multiple": True,
            "conditions": [
                {"arg1": {"name": "id"}, "operator": "gt", "arg2": {"value": 0}},
                {"arg1": {"name": "project_id"}, "operator": "eq", "arg2": {"value": FOREIGN}},
            ],
        },
    ),
]
ONE_TABLE = '[[rules]]\nid = "one"\neffect = "allow"\nresources = ["rfis"]\n'
MALFORMED = ("-1", "1.5", "1e3", "9" * 30, "[5001]", "0x1389", "", "५")


@pytest.mark.catalogue("T103")
@pytest.mark.slow
async def test_no_typed_call_reaches_a_project_of_another_company(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with policed_agent(tmp_path, simulator, ALLOW_ALL) as agent:
        for operation, params, body in TYPED:
            answer = await agent.call(operation, params, body)
            assert answer.failure.code == "policy_denied", (operation, answer.failure)
            assert "(rule project-binding)" in answer.failure.detail
        for operation in (Operation.TREE, Operation.DRIFT):
            answer = await agent.call(operation, project=FOREIGN)
            assert "(rule project-binding)" in answer.failure.detail
        listed = await agent.call(Operation.LIST, {"resource": "rfis"}, project=FOREIGN)
        assert "(rule project-binding)" in listed.failure.detail
        for record in ({"name": "No", "company_id": LARGE_COMPANY}, {"company_id": str(FOREIGN)}):
            answer = await agent.call(Operation.CREATE, {"resource": "vendors"}, record)
            assert "not the company of this data source" in answer.failure.detail
        for text in MALFORMED:  # no id at all: the planner refuses them before the policy is asked
            scope = {"resource": "rfis", "scope": {"project_id": text}}
            answer = await agent.call(Operation.CREATE, scope, RFI)
            assert answer.failure.code in {"invalid_request", "policy_denied"}, text
    assert simulator.ledger() == []


@pytest.mark.catalogue("T103")
async def test_body_that_was_not_looked_into_is_none_of_the_allowed_companies(
    simulator: Simulator, tmp_path: Path
) -> None:
    policy = f'[[rules]]\nid = "one"\neffect = "allow"\ncompanies = [{COMPANY}]\n'
    opaque = (("content-type", "application/octet-stream"),)
    async with policed_agent(tmp_path, simulator, policy) as agent:
        for target in ("rest/v1.0/files", f"rest/v1.0/files?project_id={PROJECT}"):
            answer = await agent.raw("POST", target, b"x" * 90_000, headers=opaque)
            assert answer.problem.code == "policy_denied"
            assert "(rule default)" in answer.problem.detail
        # A form is looked into to its end, and so is one of the allowed company's.
        form = part("file", "x" * 90_000) + part("more", "x" * 90_000) + END
        answer = await agent.raw("POST", "rest/v1.0/files", form, headers=PARTS)
        assert answer.head.problem is None
    assert simulator.ledger() == []


@pytest.mark.catalogue("T103")
async def test_no_description_is_read_of_a_project_of_another_company(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with policed_agent(tmp_path, simulator, ONE_TABLE) as agent:
        answer = await agent.call(Operation.TREE, project=FOREIGN)
        assert "(rule project-binding)" in answer.failure.detail
        assert (await agent.call(Operation.TREE, project=PROJECT)).head.status == 200
