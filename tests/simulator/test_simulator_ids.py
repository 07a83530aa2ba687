"""Ids of made-up rows: each belongs to one row of one resource."""

from collections import Counter
from pathlib import Path

import pytest

from procore_simulator.resources import RESOURCES
from procore_simulator.settings import SimulatorSettings
from procore_simulator.simulation import Simulation
from procore_simulator.storage.disk import Disk
from procore_simulator.world import World

OF_THE_COMPANY = {"project_users", "project_vendors"}
"""Rows of the company as a project shows them."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    disk = Disk(tmp_path, max_bytes=0)
    return Simulation(SimulatorSettings(), disk, storage_url="http://storage.invalid").primary


def test_no_two_rows_have_the_same_id(world: World) -> None:
    holders: Counter[int] = Counter()
    for project in world.projects.values():
        for name, resource in RESOURCES.items():
            # Companies share some: the service account is in each of them.
            seen_once = project is world.demo_project or not resource.company_wide
            if seen_once and name not in OF_THE_COMPANY:
                rows = world.rows(name, company=project.company, project=project)
                holders.update(row["id"] for row in rows)
    assert len(holders) > len(RESOURCES)
    assert [number for number, times in holders.items() if times > 1] == []


def test_rows_made_at_run_time_have_ids_above_those_of_every_resource(world: World) -> None:
    for project in world.projects.values():
        for name in RESOURCES:
            rows = world.rows(name, company=project.company, project=project)
            assert all(row["id"] < world.new_id(project.company) for row in rows), name
