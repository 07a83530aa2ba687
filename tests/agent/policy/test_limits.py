"""Tests of the limits in a policy: fields, rows, bytes, calls a minute."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from cloud_connect.calls import Environment
from cloud_connect.errors import ConfigurationError, PolicyDeniedError, QuotaExceededError
from cloud_connect_agent.bounded_rows import BoundedRows
from cloud_connect_agent.policy import Access, Bound, PolicyDocument, Verb, parse_policy, tightest
from cloud_connect_agent.policy.fields import leaf_names, protected
from cloud_connect_agent.policy.gate import Granted
from cloud_connect_agent.policy.rates import Rates


def access(verb: Verb = Verb.UPDATE, **facts: Any) -> Access:
    return Access(verb=verb, environment=Environment.LIVE, company_id=1, **facts)


def policy(text: str) -> PolicyDocument:
    return parse_policy(f'{text}\n[[rules]]\nid = "all"\neffect = "allow"\n')


def test_names_of_what_is_written_go_down_to_the_leaves() -> None:
    record = {"a": 1, "b": {"c": [1], "d": {}}, "e": [{"f": 1}, {"g": {"h": None}}], "i.j": 2}
    names = {"a", "b.c", "b.d", "e.f", "e.g.h", "i.j"}
    assert leaf_names(record) == frozenset(names)
    assert leaf_names(None) == leaf_names({}) == frozenset()


def test_names_that_are_too_many_are_not_told() -> None:
    assert leaf_names({"k" * 300_000: {"a": 1}}) is None
    assert leaf_names([{"a": 1}] * 300_000) is None
    deep: dict[str, object] = {}
    for _ in range(70):
        deep = {"a": deep or 1}
    assert leaf_names(deep) is None
    assert leaf_names({"a": [[{"b": 1}]] * 3}) == frozenset({"a"})


@pytest.mark.parametrize(
    ("written", "anywhere", "found"),
    [
        ("cost_code", False, "cost_code"),
        ("cost_code.id", False, "cost_code"),
        ("question", False, "question.body"),  # who writes the whole writes its part
        ("question.body", False, "question.body"),
        ("question.subject", False, None),
        ("cost_code_id", False, None),
        ("rfi.cost_code", False, None),
        ("rfi.cost_code", True, "cost_code"),
        ("rfi.question.body.text", True, "question.body"),
        ("rfi.question", True, "question.body"),
        ("rfi.subject", True, None),
    ],
)
def test_name_covers_what_lies_below_and_what_holds_it(
    written: str,
    anywhere: bool,  # noqa: FBT001 - parameter of the table
    found: str | None,
) -> None:
    assert protected({written}, ("cost_code", "question.body"), anywhere=anywhere) == found


def test_field_that_nobody_writes_is_refused_with_its_name_and_rule() -> None:
    document = policy('unwritable_fields = ["number"]')
    assert document.decide(access(fields=frozenset({"subject"}))).allowed
    refused = document.decide(access(fields=frozenset({"number"})))
    assert (refused.allowed, refused.rule) == (False, "unwritable_fields")
    assert "“number”" in refused.reason
    assert document.decide(access(Verb.READ, fields=frozenset({"number"}))).allowed
    unseen = document.decide(access(Verb.PASSTHROUGH_WRITE, fields=None))
    assert not unseen.allowed, "what is not seen may be there"
    assert policy("").decide(access(Verb.PASSTHROUGH_WRITE, fields=None)).allowed


def test_rules_own_fields_add_to_those_of_the_file() -> None:
    document = parse_policy(
        'unwritable_fields = ["number"]\n'
        '[[rules]]\nid = "all"\neffect = "allow"\nunwritable_fields = ["status"]\n'
    )
    assert document.decide(access(fields=frozenset({"status"}))).rule == "all"
    assert document.decide(access(fields=frozenset({"number"}))).rule == "unwritable_fields"


def test_limits_of_a_rule_take_the_place_of_the_files() -> None:
    document = parse_policy(
        "max_rows_per_call = 100\nmax_body_bytes = 1000\nmax_calls_per_minute = 60\n"
        '[[rules]]\nid = "much"\neffect = "allow"\nresources = ["rfis"]\nmax_rows_per_call = 500\n'
        "max_calls_per_minute = 5\n"
        '[[rules]]\nid = "rest"\neffect = "allow"\n'
    )
    much = document.decide(access(Verb.READ, resource="rfis"))
    rest = document.decide(access(Verb.READ, resource="vendors"))
    assert (much.rows, much.body) == (
        Bound(most=500, rule="much"),
        Bound(most=1000, rule="max_body_bytes"),
    )
    assert rest.rows == Bound(most=100, rule="max_rows_per_call")
    assert tightest([much.rows, None, rest.rows]) == rest.rows
    assert tightest([None]) is None
    # A rate counts calls: what a rule allows counts for the whole file, too.
    assert much.rates == (
        Bound(most=5, rule="much"),
        Bound(most=60, rule="max_calls_per_minute"),
    )
    assert document.decide(access(Verb.UPDATE, resource="rfis")).rows is None


@pytest.mark.parametrize(
    "limit",
    ["max_rows_per_call = 1", 'unwritable_fields = ["a"]', 'approval = "first-use"'],
)
def test_limit_of_a_rule_that_refuses_means_nothing(limit: str) -> None:
    with pytest.raises(ConfigurationError, match=limit.partition(" ")[0]):
        parse_policy(f'[[rules]]\nid = "no"\neffect = "deny"\n{limit}\n')


def test_granted_bodies_and_rows_are_bounded() -> None:
    granted = Granted(rows=Bound(most=2, rule="r"), body=Bound(most=10, rule="b"))
    granted.check_body(10)
    granted.check_rows(2)
    with pytest.raises(PolicyDeniedError, match=r"at most 10 bytes.*\(rule b\)"):
        granted.check_body(11)
    with pytest.raises(PolicyDeniedError, match=r"at most 2 rows.*\(rule r\)"):
        granted.check_rows(3)
    Granted().check_body(10**12)
    Granted().check_rows(10**12)


class FakeRows:
    paging = "next"
    message = "said"
    unclear = False
    closed = False

    def __init__(self, sizes: Sequence[int], total: int | None = None) -> None:
        self._sizes = sizes
        self.total_items = total

    async def batches(self) -> AsyncIterator[Sequence[Mapping[str, object]]]:
        for size in self._sizes:
            yield [{}] * size

    async def aclose(self) -> None:
        self.closed = True


async def test_rows_pass_until_they_are_too_many() -> None:
    rows = FakeRows([2, 2, 2])
    bounded = BoundedRows(rows, Granted(rows=Bound(most=4, rule="r")), None)
    batches = bounded.batches()
    assert [len(await anext(batches)) for _ in range(2)] == [2, 2]
    with pytest.raises(PolicyDeniedError, match="at most 4 rows"):
        await anext(batches)
    await bounded.aclose()
    assert rows.closed
    assert (bounded.paging, bounded.message, bounded.unclear) == ("next", "said", False)


def test_rows_that_are_announced_as_too_many_are_refused_at_once() -> None:
    granted = Granted(rows=Bound(most=4, rule="r"))
    with pytest.raises(PolicyDeniedError):
        BoundedRows(FakeRows([], total=5), granted, None).check_announced()
    BoundedRows(FakeRows([], total=5), granted, 4).check_announced()
    BoundedRows(FakeRows([]), granted, 5).check_announced()  # nobody knows yet


def test_no_minute_brings_more_than_its_calls() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    most = Bound(most=3, rule="r")
    admitted: list[float] = []
    refusals: list[QuotaExceededError] = []
    for tick in range(0, 3000, 7):
        now[0] = tick / 10
        try:
            rates.take([most])
        except QuotaExceededError as error:
            refusals.append(error)
        else:
            admitted.append(now[0])
    assert all("(rule r)" in one.message for one in refusals)
    assert all(0 < (one.retry_after or 0) <= 61 for one in refusals)
    for start in admitted:
        assert sum(start <= one < start + 60 for one in admitted) <= 3
    assert len(admitted) >= 12, "and a minute later they are let in again"


def test_call_that_one_rate_refuses_is_counted_by_none() -> None:
    now = [0.0]
    rates = Rates(lambda: now[0])
    wide, narrow = Bound(most=2, rule="wide"), Bound(most=1, rule="narrow")
    rates.take([wide, narrow])
    for _ in range(5):
        with pytest.raises(QuotaExceededError, match="narrow"):
            rates.take([wide, narrow])
    rates.take([wide])
    with pytest.raises(QuotaExceededError, match="wide"):
        rates.take([wide])
