"""Tests of ``cloud_connect_agent.policy.hours``."""

from datetime import datetime

import pytest

from cloud_connect.calls import Environment
from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.policy import Access, Hours, Verb, parse_policy


def hours(**members: object) -> Hours:
    return Hours.model_validate({"zone": "Europe/Berlin", **members})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


OFFICE = hours(days=["mon", "tue", "wed", "thu", "fri"], **{"from": "07:00", "until": "19:00"})
NIGHT = hours(days=["fri"], **{"from": "22:00", "until": "06:00"})


@pytest.mark.parametrize(
    ("given", "moment", "within"),
    [
        (OFFICE, "2026-11-25T06:00:00+00:00", True),  # seven in Berlin
        (OFFICE, "2026-11-25T05:59:59+00:00", False),
        (OFFICE, "2026-11-25T17:59:59+00:00", True),
        (OFFICE, "2026-11-25T18:00:00+00:00", False),
        (OFFICE, "2026-07-22T05:00:00+00:00", True),  # in summer it is seven an hour earlier
        (OFFICE, "2026-11-28T11:00:00+00:00", False),  # a Saturday
        (OFFICE, "2026-11-29T23:30:00-10:00", True),  # a Monday in Berlin
        (NIGHT, "2026-11-27T21:00:00+00:00", True),  # Friday, ten at night
        (NIGHT, "2026-11-28T04:59:00+00:00", True),  # and on until Saturday morning
        (NIGHT, "2026-11-28T05:00:00+00:00", False),
        (NIGHT, "2026-11-28T22:00:00+00:00", False),
        (NIGHT, "2026-11-27T04:00:00+00:00", False),  # Thursday's night is another
        (hours(until="24:00"), "2026-11-27T22:59:59+00:00", True),
        (hours(**{"from": "12:00"}), "2026-11-27T22:59:59+00:00", True),
    ],
)
def test_hours_are_those_of_their_own_zone(
    given: Hours,
    moment: str,
    within: bool,  # noqa: FBT001 - parameter of the table
) -> None:
    assert given.cover(at(moment)) is within


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('zone = "Europe/Berlim"', "no such time zone"),
        ('zone = "../../etc/passwd"', "no such time zone"),
        ('from = "07:00"', "zone"),
        ('zone = "UTC", from = "7"', "07:30"),
        ('zone = "UTC", from = 7', "07:30"),
        ('zone = "UTC", from = "25:00"', "07:30"),
        ('zone = "UTC", from = "07:00", until = "07:00"', "same time"),
        ('zone = "UTC", days = ["monday"]', "days"),
        ('zone = "UTC", days = []', "days"),
        ('zone = "UTC", form = "07:00"', "did you mean “from”?"),
    ],
)
def test_hours_that_mean_nothing_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="hours") as caught:
        parse_policy(f"hours = {{ {text} }}")
    assert said in caught.value.message


def test_hours_are_told_in_words() -> None:
    assert str(OFFICE) == "mon, tue, wed, thu, fri 07:00 to 19:00 (Europe/Berlin)"
    assert str(hours()) == "mon, tue, wed, thu, fri, sat, sun 00:00 to 24:00 (Europe/Berlin)"
    assert OFFICE.local(at("2026-11-25T06:00:00+00:00")) == "Wednesday 07:00 (Europe/Berlin)"


POLICY = """
[[rules]]
id = "office"
effect = "allow"
hours = { days = ["wed"], from = 07:00:00, until = "19:00", zone = "UTC" }
"""
WANTED = Access(verb=Verb.READ, environment=Environment.LIVE, company_id=1)


def test_rule_holds_within_its_hours_only() -> None:
    policy = parse_policy(POLICY)
    assert policy.decide(WANTED, at("2026-11-25T08:00:00+00:00")).allowed
    assert not policy.decide(WANTED, at("2026-11-25T20:00:00+00:00")).allowed
    denying = parse_policy(
        POLICY.replace("allow", "deny") + '[[rules]]\nid = "x"\neffect = "allow"'
    )
    assert not denying.decide(WANTED, at("2026-11-25T08:00:00+00:00")).allowed
    assert denying.decide(WANTED, at("2026-11-25T20:00:00+00:00")).allowed


def test_time_that_is_not_known_is_the_worst_one() -> None:
    assert not parse_policy(POLICY).decide(WANTED).allowed
    denying = parse_policy(
        POLICY.replace("allow", "deny") + '[[rules]]\nid = "x"\neffect = "allow"'
    )
    assert denying.decide(WANTED).rule == "office"


def test_hours_of_the_whole_file_beat_every_rule() -> None:
    policy = parse_policy(
        'hours = { from = "07:00", until = "19:00", zone = "UTC" }\n'
        '[[rules]]\nid = "all"\neffect = "allow"\n'
    )
    assert policy.decide(WANTED, at("2026-11-25T08:00:00+00:00")).rule == "all"
    late = policy.decide(WANTED, at("2026-11-25T19:00:00+00:00"))
    assert (late.allowed, late.rule) == (False, "hours")
    assert "07:00 to 19:00 (UTC)" in late.reason
    assert policy.decide(WANTED).rule == "hours"
