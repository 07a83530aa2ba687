"""Tests of ``cloud_connect_agent.procore.project_binding``."""

from typing import Any

import pytest

from cloud_connect.calls import MAX_ID, Environment, Source
from cloud_connect.errors import (
    CloudConnectError,
    PolicyDeniedError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse
from cloud_connect_agent.procore.project_binding import ProjectBinding

LIVE = Environment.LIVE


class Procore:
    """Knows projects 1 to 99 of company 7, and what each is answered with otherwise."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[int, object] = {}

    async def request(self, request: ApiRequest, *, source: Source, deadline: float) -> ApiResponse:
        del deadline
        self.asked.append(request.path)
        assert request.query == (("company_id", str(source.company_id)),)
        project = int(request.path.rpartition("/")[2])
        answer = self.answers.get(project, {"id": project, "company": {"id": 7}})
        if isinstance(answer, CloudConnectError):
            raise answer
        return ApiResponse(status=200, headers={}, json=answer)


class Asked:
    def __init__(self) -> None:
        self.procore = Procore()
        self.seconds = 0.0
        self.binding = ProjectBinding(self.procore, clock=lambda: self.seconds)

    async def check(self, *projects: int, company: int = 7) -> None:
        await self.binding.check(LIVE, company, projects, 10.0)


async def test_procore_is_asked_once_for_each_project() -> None:
    asked = Asked()
    for _ in range(3):
        await asked.check(1, 2, 3)
    assert sorted(asked.procore.asked) == [f"/rest/v1.0/projects/{n}" for n in (1, 2, 3)]
    asked.seconds += 25 * 3600
    await asked.check(1)
    assert len(asked.procore.asked) == 4


@pytest.mark.parametrize(
    "answer",
    [
        SourceRejectedError("No.", status=404),
        {"id": 5, "company": {"id": 8}},
        {"id": 5, "company": {"id": "70"}},
        [],
        None,
    ],
)
async def test_project_of_another_company_is_refused_and_remembered(answer: Any) -> None:
    asked = Asked()
    asked.procore.answers[5] = answer
    for _ in range(2):
        with pytest.raises(PolicyDeniedError, match=r"no project 5 of company 7.*project-binding"):
            await asked.check(5)
    assert len(asked.procore.asked) == 1
    del asked.procore.answers[5]
    asked.seconds += 61
    await asked.check(5)


async def test_project_whose_company_is_not_shown_is_taken_as_procore_found_it() -> None:
    asked = Asked()
    asked.procore.answers[5] = {"id": 5}
    asked.procore.answers[6] = {"id": 6, "company": {"id": "7"}}
    await asked.check(5, 6)


@pytest.mark.parametrize("project", [0, -1, MAX_ID + 1, 10**400])
async def test_number_that_no_project_has_is_not_asked_for(project: int) -> None:
    asked = Asked()
    with pytest.raises(PolicyDeniedError, match="project-binding"):
        await asked.check(project)
    assert asked.procore.asked == []


async def test_without_an_answer_nothing_is_let_in_and_nothing_remembered() -> None:
    asked = Asked()
    for failure in (SourceUnavailableError("Gone."), SourceRejectedError("No.", status=403)):
        asked.procore.answers[5] = failure
        with pytest.raises(type(failure)):
            await asked.check(5)
    del asked.procore.answers[5]
    await asked.check(5)


async def test_one_foreign_project_among_many_is_enough() -> None:
    asked = Asked()
    asked.procore.answers[17] = SourceRejectedError("No.", status=404)
    with pytest.raises(PolicyDeniedError, match="no project 17"):
        await asked.check(*range(1, 30))


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.project_binding._MAX_KNOWN", 3)
    asked = Asked()
    for project in (1, 2, 3, 1, 4):
        await asked.check(project)
    asked.procore.asked.clear()
    await asked.check(1)
    assert asked.procore.asked == []
    await asked.check(2)
    assert asked.procore.asked == ["/rest/v1.0/projects/2"]
