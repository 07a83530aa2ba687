"""Checks side by side: what depends on what failed is not checked, and nothing waits for ever."""

import asyncio
import time
from pathlib import Path

import pytest

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.doctor import CHECKS, Case, Check, Code, Finding, Report, Status, examine
from cloud_connect_agent.doctor.case import Daemon, DaemonState
from cloud_connect_agent.doctor.findings import failed, passed, warned
from cloud_connect_agent.paths import AgentPaths


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(paths=AgentPaths.of(tmp_path), daemon=Daemon(state=DaemonState.STOPPED))


def check(name: str, finding: Finding | None = None, *needs: str, network: bool = False) -> Check:
    async def look(_: Case) -> Finding:
        return finding or passed("It is well.")

    return Check(name=name, look=look, needs=needs, network=network)


BROKEN = failed(Code.NAME_UNKNOWN, "It is broken.", "Mend it.")


async def test_what_needs_a_failed_check_is_not_checked_and_the_rest_goes_on(case: Case) -> None:
    report = await examine(
        case,
        [
            check("dns", BROKEN),
            check("tls", None, "dns"),
            check("relay", None, "tls"),
            check("disk", warned(Code.DISK_LOW, "Little room.", "Make some.")),
            check("spool", None, "disk"),
        ],
    )
    assert [(one.name, one.status.value) for one in report.findings] == [
        ("dns", "FAIL"),
        ("tls", "WARN"),
        ("relay", "WARN"),
        ("disk", "WARN"),
        ("spool", "PASS"),
    ]
    assert report.findings[1].cause == "Not checked: dns failed."
    assert report.findings[2].cause == "Not checked: dns failed."
    assert report.summary == ("1 passed, 1 warning, 1 failed, 2 not checked: start with CC-DNS-01.")
    assert report.failed


async def test_one_that_hangs_fails_alone_and_within_its_time(case: Case) -> None:
    async def hang(_: Case) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    began = time.monotonic()
    report = await examine(
        case, [Check(name="hangs", look=hang), check("well")], check_seconds=0.05
    )
    assert time.monotonic() - began < 5
    hung, well = report.findings
    assert (hung.code, well.status) == (Code.TOO_SLOW, Status.PASS)


async def test_all_of_them_end_when_the_time_of_the_whole_is_up(case: Case) -> None:
    async def hang(_: Case) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    checks = [check("well"), Check(name="hangs", look=hang), check("after", None, "hangs")]
    report = await examine(case, checks, total_seconds=0.05)
    assert [one.code for one in report.findings] == [None, Code.NOT_CHECKED, Code.NOT_CHECKED]
    assert "took longer than" in report.findings[1].cause


async def test_check_that_fails_itself_says_so_and_hides_nothing_else(case: Case) -> None:
    async def stumble(_: Case) -> Finding:
        raise CloudConnectError("The moon is full.")

    async def fall(_: Case) -> Finding:
        raise OSError(5, "Input/output error")

    report = await examine(
        case, [Check(name="one", look=stumble), Check(name="two", look=fall), check("three")]
    )
    assert [one.code for one in report.findings] == [Code.CHECK_FAILED, Code.CHECK_FAILED, None]
    assert "The moon is full." in report.findings[0].cause
    assert "Input/output error" in report.findings[1].cause


@pytest.mark.parametrize("error", [KeyError("problems"), UnicodeError("label"), TypeError("None")])
async def test_check_that_is_told_what_it_cannot_read_costs_no_other_check(
    case: Case, error: Exception
) -> None:
    async def fall(_: Case) -> Finding:
        raise error

    report = await examine(case, [Check(name="one", look=fall), check("two")])
    assert [one.code for one in report.findings] == [Code.CHECK_FAILED, None]
    assert type(error).__name__ in report.findings[0].cause
    assert "restart" in report.findings[0].fix


async def test_only_the_named_one_is_reported_and_what_it_needs_is_run(case: Case) -> None:
    ran = []

    def noting(name: str, *needs: str) -> Check:
        async def look(_: Case) -> Finding:
            ran.append(name)
            return passed("It is well.")

        return Check(name=name, look=look, needs=needs)

    checks = [noting("a"), noting("b", "a"), noting("c", "b"), noting("d")]
    report = await examine(case, checks, only=("b",))
    assert [one.name for one in report.findings] == ["b"]
    assert ran == ["a", "b"]


async def test_offline_leaves_out_what_talks_to_other_machines(case: Case) -> None:
    report = await examine(case, [check("near"), check("far", BROKEN, network=True)], offline=True)
    assert [one.name for one in report.findings] == ["near"]
    assert not report.failed


def test_summary_of_a_pc_that_is_well_names_no_code() -> None:
    report = Report(findings=(passed("Well.").named("a"), passed("Well.").named("b")))
    assert report.summary == "2 passed, 0 warnings, 0 failed."
    assert report.start_with is None
    assert report.as_json()["checks"] == [
        {"name": "a", "status": "PASS", "cause": "Well.", "fix": "", "code": ""},
        {"name": "b", "status": "PASS", "cause": "Well.", "fix": "", "code": ""},
    ]


def test_each_check_needs_only_checks_that_there_are() -> None:
    names = [one.name for one in CHECKS]
    assert len(names) == len(set(names))
    for one in CHECKS:
        assert set(one.needs) | set(one.after) <= set(names)
