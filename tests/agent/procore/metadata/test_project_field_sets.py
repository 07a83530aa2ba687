"""What the field sets of a data source's own project say of its records."""

import pytest

from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.company_fields import DEFINITIONS, PROJECT_SETS, SETS, Row, soon
from doubles.scripted_procore import PROJECT, ScriptedProcore, source


def wanted(*, required: bool = True) -> Row:
    return {"label": "Effort", "data_type": "decimal", "required": required}


def field_set(**fields: object) -> Row:
    return {"class_name": "Rfi::Header", "fields": fields}


@pytest.fixture
def procore() -> ScriptedProcore:
    return ScriptedProcore(
        {
            SETS: [field_set(custom_field_7=wanted(), location=wanted())],
            DEFINITIONS: [{"id": 7, "label": "Effort", "data_type": "decimal"}],
        }
    )


async def required_of(
    executor: RecordExecutor, table: str, *, project: int | None = PROJECT
) -> set[str]:
    for group in await executor.tree(source(project=project), soon(), refresh=True):
        nodes = group["nodes"]
        assert isinstance(nodes, (list, tuple))
        for node in nodes:
            if node["name"] == table:
                return {one["name"] for one in node["fields"] if one.get("required") is True}
    raise AssertionError(table)


async def test_field_set_of_the_default_project_decides_what_is_required(
    procore: ScriptedProcore,
) -> None:
    procore.tables[SETS] += [{"class_name": "Vendor", "fields": {"city": {"required": True}}}]
    procore.tables[PROJECT_SETS] = [
        field_set(custom_field_7=wanted(required=False), due_date={"required": True}),
        {"class_name": "Vendor", "fields": {"zip": {"required": True}}},
    ]
    executor = RecordExecutor(procore, load_catalog())
    found = await required_of(executor, "rfis")
    assert "due_date" in found
    assert found.isdisjoint({"custom_field_7", "location_id"})
    assert {"city"} <= await required_of(executor, "vendors")
    assert "zip" not in await required_of(executor, "vendors")
    elsewhere = await required_of(executor, "rfis", project=None)
    assert {"custom_field_7", "location_id"} <= elsewhere


async def test_project_that_does_not_tell_leaves_it_to_the_company(
    procore: ScriptedProcore,
) -> None:
    executor = RecordExecutor(procore, load_catalog())
    assert "location_id" in await required_of(executor, "rfis")
    procore.tables[PROJECT_SETS] = []
    assert "location_id" in await required_of(executor, "rfis")
    procore.tables[PROJECT_SETS] = [field_set()]
    assert "location_id" not in await required_of(executor, "rfis")
    del procore.tables[PROJECT_SETS]
    assert "location_id" not in await required_of(executor, "rfis")


async def test_projects_are_asked_once_until_a_refresh_and_bounded(
    procore: ScriptedProcore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.metadata.keeper._MAX_PROJECTS", 1)
    executor = RecordExecutor(procore, load_catalog())

    def asked() -> int:
        return sum("/projects/" in request.path for request in procore.requests)

    await executor.tree(source(project=1), soon())
    await executor.tree(source(project=1), soon())
    assert asked() == 1
    await executor.tree(source(project=2), soon())
    await executor.tree(source(project=1), soon())
    assert asked() == 3
    await executor.tree(source(project=1), soon(), refresh=True)
    assert asked() == 4
