"""How definitions are read from Procore: page by page, and what an odd answer says."""

import pytest

from cloud_connect.errors import (
    CloudConnectError,
    SignInRequiredError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.messages import ApiRequest
from doubles.company_fields import (
    DEFINITIONS,
    SETS,
    Row,
    company_with_fields,
    drift_items,
    effort,
    executor_of,
    field_set,
    fields_of,
    soon,
)
from doubles.record_calls import queried, rows_of
from doubles.scripted_procore import ScriptedProcore, source


def field_sets(count: int) -> list[Row]:
    """Field sets with a custom field each."""
    return [
        {**field_set(**{f"custom_field_{number}": effort()}), "id": number}
        for number in range(count)
    ]


def definitions(count: int) -> list[Row]:
    return [{"id": number, "active": True} for number in range(count)]


@pytest.fixture
def procore() -> ScriptedProcore:
    return company_with_fields()


@pytest.mark.parametrize(
    "error",
    [
        SourceRejectedError("Procore answered 403: no.", status=403),
        SourceUnavailableError("Away."),
        SignInRequiredError("Sign in."),
    ],
)
async def test_company_that_does_not_tell_still_has_a_tree(
    procore: ScriptedProcore, error: CloudConnectError
) -> None:
    procore.failures = lambda _: error
    executor = executor_of(procore)
    fields = await fields_of(executor)
    assert {one["name"] for one in fields} >= {"subject", "id"}
    assert "custom_field_7" not in {one["name"] for one in fields}
    asked = len(procore.requests)
    await executor.tree(source(), soon())
    assert len(procore.requests) == asked  # a while passes before it is asked again


async def test_procore_that_hangs_delays_the_tree_for_a_while_only(
    procore: ScriptedProcore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.metadata.reading._SECONDS", 0.05)
    procore.latency = 30
    assert await fields_of(executor_of(procore))


async def test_lists_of_definitions_are_read_page_by_page_up_to_a_bound(
    procore: ScriptedProcore,
) -> None:
    procore.tables[SETS] = field_sets(250)
    fields = await fields_of(executor_of(procore))
    assert "custom_field_7" in {one["name"] for one in fields}
    assert sum(request.path == SETS for request in procore.requests) == 3
    procore.tables[SETS] = field_sets(2500)
    procore.requests.clear()
    await executor_of(procore).tree(source(), soon())
    assert sum(request.path == SETS for request in procore.requests) == 10


@pytest.mark.parametrize("total", [True, False])
async def test_definitions_in_smaller_pages_than_asked_for_are_read_to_the_end(
    procore: ScriptedProcore, *, total: bool
) -> None:
    procore.most, procore.total, procore.per_page = 50, total, False
    procore.tables[SETS] = [field_set(custom_field_118=effort())]
    procore.tables[DEFINITIONS] = definitions(120)
    executor = executor_of(procore)
    await rows_of(await queried(executor, fields=["custom_field_118"]))
    assert "custom_field_118" in {one["name"] for one in await fields_of(executor)}
    assert sum(request.path == DEFINITIONS for request in procore.requests) == 3


@pytest.mark.parametrize("odd", [{"errors": ["Try later."]}, {"data": [1]}, "Sign in."])
async def test_answer_that_is_no_list_says_nothing_of_what_is_gone(
    procore: ScriptedProcore, odd: object
) -> None:
    executor = executor_of(procore)
    await executor.tree(source(), soon())
    await rows_of(await queried(executor, fields=["custom_field_7"]))
    procore.answers["GET", SETS] = odd
    procore.answers["GET", DEFINITIONS] = odd
    assert await drift_items(executor) == []
    procore.answers.pop(("GET", SETS))
    procore.tables[SETS] = []
    assert await drift_items(executor) == []
    assert "custom_field_7" in {one["name"] for one in await fields_of(executor)}


async def test_list_that_is_shorter_than_its_total_says_nothing_of_what_is_gone(
    procore: ScriptedProcore,
) -> None:
    executor = executor_of(procore)
    procore.tables[DEFINITIONS] = definitions(120)
    await executor.tree(source(), soon())
    await rows_of(await queried(executor, fields=["custom_field_7"]))
    procore.tables[SETS] = []
    procore.tables[DEFINITIONS] = [{"id": 100, "active": True}] * 120  # the same page again
    assert await drift_items(executor) == []


async def test_later_page_that_fails_leaves_what_came(procore: ScriptedProcore) -> None:
    procore.tables[SETS] = field_sets(150)

    def fail(request: ApiRequest) -> CloudConnectError | None:
        second = ("page", "2") in request.query
        return SourceUnavailableError("Away.") if second else None

    procore.failures = fail
    fields = await fields_of(executor_of(procore))
    assert "custom_field_7" in {one["name"] for one in fields}


async def test_answers_of_the_second_generation_are_read_too(procore: ScriptedProcore) -> None:
    procore.answers["GET", SETS] = {"data": [field_set(custom_field_7=effort())]}
    fields = await fields_of(executor_of(procore))
    assert "custom_field_7" in {one["name"] for one in fields}
