from cloud_connect_relay.call_figures import Minute
from cloud_connect_relay.console.charts import budgets_of, charts_of

NOTHING = {"relay": 0.0, "tunnel": 0.0, "pc": 0.0, "limit": 0.0, "procore": 0.0}


def test_charts_say_in_words_what_they_show() -> None:
    minutes = [
        None,
        Minute(1),
        Minute(2, calls=4, failed=1, hops={**NOTHING, "relay": 40.0, "procore": 360.0}),
    ]
    calls, failed, hops = charts_of(minutes)
    assert calls.summary == (
        "Calls per minute of the last hour: 2.0 over the hour, 4 at most in a minute,"
        " nothing known of 1 of its minutes."
    )
    assert [bar.known for bar in calls.bars] == [False, True, True]
    assert [bar.text for bar in calls.bars] == [
        "2 min ago: not known: this relay did not run",
        "1 min ago: 0",
        "this minute: 4",
    ]
    assert calls.bars[2].parts == (("calls", 0.0, 100.0),)
    assert failed.now == "25 %"
    assert failed.legend == (("failed", "Failed: 1"), ("unknown", "Outcome unknown: 0"))
    assert hops.now == "100 ms"
    assert hops.bars[2].parts == (("relay", 90.0, 10.0), ("procore", 0.0, 90.0))


def test_charts_of_nothing_claim_nothing() -> None:
    calls, failed, hops = charts_of([None] * 3)
    assert (calls.now, failed.now, hops.now) == ("\N{EN DASH}",) * 3
    assert all(not bar.parts for chart in (calls, failed, hops) for bar in chart.bars)


def test_budgets_of_those_that_are_online_come_with_the_scarcest_first() -> None:
    def connector(name: str, status: str, *left: tuple[int, int]) -> dict[str, object]:
        budget = [
            {"company_id": 7 + place, "remaining": remaining, "limit": limit}
            for place, (remaining, limit) in enumerate(left)
        ]
        return {"id": name, "name": name, "status": status, "procore": [{"budget": budget}]}

    found = budgets_of(
        [
            connector("a", "online", (50, 100), (10, 100)),
            connector("b", "offline", (1, 100)),
            connector("c", "online", (0, 0)),
        ]
    )
    assert [(one.name, one.share) for one in found] == [
        ("c, company 7", 0.0),
        ("a, company 8", 0.1),
        ("a, company 7", 0.5),
    ]
