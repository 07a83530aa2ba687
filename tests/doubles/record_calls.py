"""Calls for records, as tests make them."""

import time

from cloud_connect.calls import RecordParams
from cloud_connect.query import Query
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.rowstream import RowStream
from doubles.scripted_procore import PROJECT, ScriptedProcore, source

__all__ = [
    "RFIS",
    "SOON",
    "add_projects",
    "condition",
    "listed",
    "params",
    "queried",
    "rfis",
    "rows_of",
]

RFIS = f"/rest/v1.0/projects/{PROJECT}/rfis"
SOON = 30.0


def rfis(count: int, **more: object) -> list[dict[str, object]]:
    return [
        {"id": number, "subject": f"RFI {number}", "status": ("open", "closed")[number % 2], **more}
        for number in range(1, count + 1)
    ]


async def rows_of(stream: RowStream) -> list[dict[str, object]]:
    async with stream:
        return [row async for row in stream]


def params(
    resource: str = "rfis", *, project: int | None = PROJECT, **more: object
) -> RecordParams:
    return RecordParams.model_validate(
        {"source": source(project=project), "resource": resource, **more}
    )


async def listed(executor: RecordExecutor, wanted: RecordParams) -> list[dict[str, object]]:
    return await rows_of(await executor.list(wanted, time.monotonic() + SOON))


def condition(field: str, operator: str, value: object = None) -> dict[str, object]:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


async def queried(executor: RecordExecutor, **members: object) -> RowStream:
    document = {"action": "select", "info": {"name": "rfis"}, **members}
    project = document.pop("project", PROJECT)
    assert project is None or isinstance(project, int)
    query = Query.parse(document)
    return await executor.query(source(project=project), query, time.monotonic() + SOON)


def add_projects(procore: ScriptedProcore, *projects: int) -> None:
    procore.tables["/rest/v1.1/projects"] = [{"id": number} for number in projects]
    for number in projects:
        procore.tables[f"/rest/v1.0/projects/{number}/rfis"] = [
            {"id": number * 100 + row, "subject": "x"} for row in range(3)
        ]
