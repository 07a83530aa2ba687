"""A company that defines fields of its own, and what the executor tells of them."""

import time
from pathlib import Path

from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.metadata import SnapshotStore
from doubles.record_calls import RFIS, SOON
from doubles.scripted_procore import COMPANY, PROJECT, ScriptedProcore, source

__all__ = [
    "DEFINITIONS",
    "PROJECT_SETS",
    "SETS",
    "Row",
    "company_with_fields",
    "drift_items",
    "effort",
    "executor_of",
    "field_set",
    "fields_of",
    "soon",
]

PROJECT_SETS = f"/rest/v1.0/projects/{PROJECT}/configurable_field_sets"
SETS = f"/rest/v1.0/companies/{COMPANY}/configurable_field_sets"
DEFINITIONS = f"/rest/v1.1/companies/{COMPANY}/custom_field_definitions"
Row = dict[str, object]


def effort(**facts: object) -> Row:
    return {"label": "Effort", "data_type": "decimal", "required": True, "visible": True, **facts}


def field_set(**fields: object) -> Row:
    return {"id": 1, "class_name": "Rfi::Header", "fields": fields}


def company_with_fields() -> ScriptedProcore:
    return ScriptedProcore(
        {
            SETS: [
                field_set(
                    custom_field_7=effort(),
                    location={"required": True},
                    distributions={"required": True},
                )
            ],
            DEFINITIONS: [{"id": 7, "label": "Effort", "data_type": "decimal", "active": True}],
            PROJECT_SETS: [],
            RFIS: [{"id": 1, "subject": "A", "custom_fields": {}}],
        }
    )


def executor_of(procore: ScriptedProcore, folder: Path | None = None) -> RecordExecutor:
    store = None if folder is None else SnapshotStore(folder)
    return RecordExecutor(procore, load_catalog(), store=store)


def soon() -> float:
    return time.monotonic() + SOON


async def fields_of(executor: RecordExecutor, table: str = "rfis", **more: bool) -> list[Row]:
    for group in await executor.tree(source(), soon(), **more):
        nodes = group["nodes"]
        assert isinstance(nodes, (list, tuple))
        for node in nodes:
            if node["name"] == table:
                return list(node["fields"])
    raise AssertionError(table)


async def drift_items(executor: RecordExecutor, *, refresh: bool = True) -> list[Row]:
    items = (await executor.drift(source(), soon(), refresh=refresh))["items"]
    assert isinstance(items, list)
    return items
