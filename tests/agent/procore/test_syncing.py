"""What a sync's answer says of each record, told from what Procore echoes."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cloud_connect_agent.procore.catalog import Sync, SyncAnswer, load_catalog
from cloud_connect_agent.procore.rows import Row
from cloud_connect_agent.procore.syncing import Synced, marked, sync_request, synced
from doubles.scripted_procore import COMPANY, PROJECT, source

SYNC = Sync(version="v1.0", path="/cost_codes/sync", body=("project_id",))
ROWS = SYNC.model_copy(update={"answer": SyncAnswer.ROWS})
SAFE = SYNC.model_copy(update={"safe_for_create": True})


def answer(entities: list[Row], errors: list[Row] | None = None) -> Row:
    return {"entities": entities, "errors": errors or []}


def test_request_holds_the_records_beside_where_they_go() -> None:
    resource = load_catalog().resource("cost_codes")
    request = sync_request(resource, SYNC, source(), {"project_id": str(PROJECT)}, [{"code": "1"}])
    assert (request.method, request.path) == ("PATCH", "/rest/v1.0/cost_codes/sync")
    assert request.json == {"project_id": PROJECT, "updates": [{"code": "1"}]}
    company = SYNC.model_copy(update={"body": (), "query": ("company_id",)})
    other = sync_request(resource, company, source(), {}, [])
    assert other.query == (("company_id", str(COMPANY)),)


def test_request_tells_of_each_record_what_nothing_else_does() -> None:
    items = load_catalog().resource("direct_cost_line_items")
    assert items.sync is not None
    target = {"project_id": str(PROJECT), "direct_cost_id": "7"}
    request = sync_request(items, items.sync, source(), target, [{"description": "Piles"}])
    assert request.path == f"/rest/v1.0/projects/{PROJECT}/direct_costs/line_items/sync"
    assert request.json == {"updates": [{"direct_cost_id": 7, "description": "Piles"}]}


def test_request_sends_beside_the_records_what_they_have_in_common() -> None:
    orders = load_catalog().resource("potential_change_orders")
    assert orders.sync is not None
    target = {"project_id": str(PROJECT)}
    records: list[Row] = [{"contract_id": 7, "title": "A"}, {"contract_id": 7, "title": "B"}]
    request = sync_request(orders, orders.sync, source(), target, records)
    assert request.query == (("project_id", str(PROJECT)), ("contract_id", "7"))
    assert request.json == {"updates": [{"title": "A"}, {"title": "B"}]}
    codes = load_catalog().resource("cost_codes")
    assert codes.sync is not None
    request = sync_request(codes, codes.sync, source(), target, [{"code": "1"}])
    assert request.query == (("project_id", str(PROJECT)),)


def test_entities_are_told_from_errors_by_what_was_sent() -> None:
    items: list[Row] = [{"code": "1", "name": "A"}, {"code": "", "name": "B"}, {"code": "3"}]
    told = synced(
        items,
        SYNC,
        answer(
            [{"id": 8, "code": "3"}, {"id": 7, "code": "1", "name": "A"}],
            [{"code": "", "name": "B", "errors": {"code": ["can't be blank"]}}],
        ),
    )
    assert [one.record and one.record["id"] for one in told] == [7, None, 8]
    assert told[1] == Synced(
        reason="Procore refused the record: “code” can't be blank.",
        source={"errors": {"code": ["can't be blank"]}},
    )


def test_values_that_procore_rewrites_are_recognised() -> None:
    items: list[Row] = [{"amount": 5, "on": True}, {"amount": "7.0", "on": False}]
    entities: list[Row] = [
        {"id": 2, "amount": "7.0", "on": False},
        {"id": 1, "amount": "5", "on": "true"},
    ]
    assert [one.record and one.record["id"] for one in synced(items, SYNC, answer(entities))] == [
        1,
        2,
    ]


def test_error_that_echoes_only_some_fields_finds_its_record() -> None:
    items: list[Row] = [{"code": "1", "name": "A"}, {"code": "2", "name": "B"}]
    errors: list[Row] = [{"code": "2", "errors": {"base": ["is locked"]}}]
    first, second = synced(items, SYNC, answer([{"id": 1, "code": "1"}], errors))
    assert first.record == {"id": 1, "code": "1"}
    assert second.reason == "Procore refused the record: is locked."


def test_error_that_is_about_none_of_them_is_passed_over() -> None:
    errors: list[Row] = [{"code": "9", "errors": {"base": ["is locked"]}}]
    (only,) = synced([{"code": "1"}], SYNC, answer([{"id": 1, "code": "1"}], errors))
    assert only.record == {"id": 1, "code": "1"}


def test_what_the_answer_does_not_tell_is_not_guessed() -> None:
    items: list[Row] = [{"code": "1"}, {"code": "2"}]
    assert synced(items, SYNC, None) == [Synced(), Synced()]
    assert synced(items, SYNC, answer([{"id": 9, "code": "2"}])) == [
        Synced(),
        Synced(record={"id": 9, "code": "2"}),
    ]
    contradicting = answer([{"id": 9, "code": "x"}, {"id": 8, "code": "y"}])
    assert synced(items, SYNC, contradicting) == [Synced(), Synced()]


def test_bare_list_of_rows_is_read_alike() -> None:
    items: list[Row] = [{"code": "1"}, {"code": "2"}]
    rows = [{"code": "1", "errors": {"code": ["taken"]}}, {"id": 4, "code": "2", "errors": []}]
    first, second = synced(items, ROWS, rows)
    assert first.reason is not None
    assert "“code”" in first.reason
    assert second.record is not None


def test_record_that_was_there_before_counts_as_updated() -> None:
    items: list[Row] = [{"origin_id": "a"}, {"origin_id": "b"}, {"code": "c"}]
    entities: list[Row] = [
        {"id": 2, "origin_id": "b", "created_at": "1", "updated_at": "1"},
        {"id": 1, "origin_id": "a", "created_at": "1", "updated_at": "2"},
        {"id": 3, "code": "c", "created_at": "1", "updated_at": "2"},
    ]
    told = synced(items, SYNC, answer(entities))
    assert [one.updated for one in told] == [True, False, False]


def test_records_are_marked_only_where_that_is_safe_and_of_use() -> None:
    items: list[Row] = [{"code": "1"}, {"code": "2", "origin_id": "own"}]
    assert marked(items, SYNC, "ab", [0, 1]) == items
    assert marked(items, SAFE, None, [0, 1]) == items
    assert marked(items, SAFE, "ab", [4, 7]) == [
        {"code": "1", "origin_id": "cc-ab-4"},
        {"code": "2", "origin_id": "own"},
    ]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12),
    st.randoms(use_true_random=False),
)
def test_every_record_gets_its_own_answer_in_any_order(
    wanted: list[tuple[int, bool]], random: Random
) -> None:
    items: list[Row] = [
        {"code": str(place), "name": f"N{kind}"} for place, (kind, _) in enumerate(wanted)
    ]
    entities: list[Row] = [
        {"id": place, **items[place]} for place, (_, taken) in enumerate(wanted) if taken
    ]
    errors: list[Row] = [
        {**items[place], "errors": {"name": [f"no {place}"]}}
        for place, (_, taken) in enumerate(wanted)
        if not taken
    ]
    random.shuffle(entities)
    random.shuffle(errors)
    told = synced(items, SYNC, answer(entities, errors))
    for place, (_, taken) in enumerate(wanted):
        if taken:
            assert told[place].record == {"id": place, **items[place]}
        else:
            assert told[place].source == {"errors": {"name": [f"no {place}"]}}
