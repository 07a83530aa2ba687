"""Tests of ``cloud_connect_agent.policy.explaining`` and of what a mistake is told with."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cloud_connect.calls import Environment
from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.policy import Access, PolicyDocument, Verb, parse_policy
from cloud_connect_agent.policy.explaining import explain, overshadowed

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def access(verb: Verb = Verb.UPDATE, **facts: Any) -> Access:
    given = {"environment": Environment.LIVE, "company_id": 12, **facts}
    return Access(verb=verb, **given)


def rules(*texts: str) -> PolicyDocument:
    return parse_policy("".join(f"[[rules]]\n{text}\n" for text in texts))


POLICY = rules(
    'id = "private"\neffect = "deny"\nresources = ["commitments"]',
    'id = "clients"\neffect = "allow"\nverbs = ["update"]\ncompanies = [7]',
    'id = "reading"\neffect = "allow"\nverbs = ["read"]',
    'id = "night"\neffect = "allow"\nverbs = ["update"]\nhours = { from = "22:00", zone = "UTC" }',
)


def test_refusal_names_the_rules_that_lack_one_thing() -> None:
    found = explain(POLICY, access(resource="rfis"), NOON)
    assert (found.decision.allowed, found.decision.rule) == (False, "default")
    assert [str(one) for one in found.near] == [
        "Rule 'clients' would allow it but for company 12.",
        "Rule 'reading' would allow it but for the verb update.",
        "Rule 'night' would allow it but for Wednesday 12:00 (UTC).",
    ]


def test_rule_that_decides_is_told_from_those_that_come_too_late() -> None:
    policy = rules(
        'id = "first"\neffect = "allow"', 'id = "second"\neffect = "deny"\ncompanies = [12]'
    )
    found = explain(policy, access(resource="rfis"), NOON)
    assert [str(one) for one in found.verdicts] == [
        "Rule 'first' matches first and allows it.",
        "Rule 'second' would refuse it, but one above it has decided.",
    ]
    assert [one.rule for one in found.near] == ["second"]
    denied = explain(rules('id = "no"\neffect = "deny"'), access(), NOON)
    assert str(denied.verdicts[0]) == "Rule 'no' matches first and refuses it."


def test_several_things_that_are_missing_are_all_named() -> None:
    found = explain(POLICY, access(Verb.CREATE, resource="rfis"), NOON)
    (clients,) = [one for one in found.verdicts if one.rule == "clients"]
    assert clients.misses == ("the verb create", "company 12")
    assert "but for the verb create and company 12" in str(clients)
    assert clients not in found.near


def test_mode_comes_before_all_rules() -> None:
    policy = parse_policy('mode = "read-only"\n[[rules]]\nid = "all"\neffect = "allow"\n')
    found = explain(policy, access(), NOON)
    assert found.decision.rule == "mode"
    assert [one.decides for one in found.verdicts] == [False]


def test_rule_that_is_called_like_the_mode_or_the_hours_decides_like_any_other() -> None:
    for name in ("mode", "hours", "default"):
        found = explain(rules(f'id = "{name}"\neffect = "allow"'), access(), NOON)
        assert [one.decides for one in found.verdicts] == [True]


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (access(environment=Environment.MONTHLY_SANDBOX), "the environment monthly-sandbox"),
        (access(company_id=0), "any company"),
        (access(certain=False), "a body that may name another company"),
        (access(project_id=9), "project 9"),
        (access(), "no single project"),
        (access(resource="vendors", project_id=5), "the resource vendors"),
        (access(project_id=5), "no single resource"),
        (access(Verb.PASSTHROUGH_READ, project_id=5, path="rest/v1.0/x"), "a raw path"),
        (access(Verb.TEST), "the connection test, which is of no project, resource or path"),
    ],
)
def test_each_thing_is_called_by_its_name(wanted: Access, missing: str) -> None:
    rule = (
        'id = "one"\neffect = "allow"\nenvironments = ["live"]\ncompanies = [12]\n'
        'projects = [5]\nresources = ["rfis"]'
    )
    assert missing in explain(rules(rule), wanted, NOON).verdicts[0].misses


def test_paths_are_called_by_their_names() -> None:
    policy = rules('id = "raw"\neffect = "allow"\npaths = ["rest/v1.0/me"]')
    raw = access(Verb.PASSTHROUGH_READ, path="rest/v1.0/x")
    assert explain(policy, raw, NOON).verdicts[0].misses == ("the path rest/v1.0/x",)
    unknown = access(Verb.PASSTHROUGH_READ)
    assert explain(policy, unknown, NOON).verdicts[0].misses == ("a path that is not known",)
    typed = explain(policy, access(), NOON).verdicts[0].misses
    assert typed == ("a call that is not a raw path",)


def test_uncertain_company_is_refused_by_each_rule_that_refuses_one() -> None:
    policy = rules('id = "no"\neffect = "deny"\ncompanies = [1]', 'id = "yes"\neffect = "allow"')
    assert policy.decide(access(certain=False)).rule == "no"
    assert policy.decide(access()).rule == "yes"


def test_descriptions_are_of_no_project() -> None:
    some = rules('id = "some"\neffect = "allow"\nprojects = [5]\nresources = ["rfis"]')
    denying = rules('id = "no"\neffect = "deny"\nprojects = [5]', 'id = "yes"\neffect = "allow"')
    wanted = access(Verb.READ, resource="rfis", described=True)
    assert some.decide(wanted).allowed
    assert not some.decide(access(Verb.READ, resource="vendors", described=True)).allowed
    assert denying.decide(wanted).rule == "yes"


@pytest.mark.parametrize(
    ("above", "below", "told"),
    [
        ("", "companies = [1]", True),
        ("companies = [1, 2]", "companies = [1]", True),
        ("companies = [2]", "companies = [1]", False),
        ("companies = [1]", "", False),
        ('verbs = ["read"]', "", False),
        ('hours = { zone = "UTC" }', "", False),
        ('paths = ["rest/v1.0"]', 'paths = ["rest/v1.0"]', True),
        ('paths = ["rest/v1.0/a"]', 'paths = ["rest/v1.0"]', False),
    ],
)
def test_refusal_that_comes_too_late_is_pointed_out(
    above: str,
    below: str,
    told: bool,  # noqa: FBT001 - parameter of the table
) -> None:
    document = rules(f'id = "a"\neffect = "allow"\n{above}', f'id = "b"\neffect = "deny"\n{below}')
    assert list(overshadowed(document)) == ([("b", "a")] if told else [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('mdoe = "normal"', "unknown key: mdoe (line 1); did you mean “mode”?"),
        (
            'mode = "normal"\n\n[[rules]]\nid = "a"\neffect = "allow"\ncompnies = [1]\n',
            "rules.0.compnies (line 6); did you mean “companies”?",
        ),
        (
            '[[rules]]\nid = "a"\neffect = "allow"\n\n[[rules]]\nid = "b"\nefect = "deny"\n',
            "rules.1.efect (line 7); did you mean “effect”?",
        ),
        ('[[rules]]\nid = "a"\neffect = "permit"\n', "rules.0.effect (line 3)"),
        ('[[rules]]\nid = "a"\n', "rules.0.effect (line 1)"),
        ("zzz = 1", "unknown key: zzz (line 1)."),
        ('[[rules]]\nid = "a"\neffect = "allow"\nhours = { zone = "UTC", til = "1" }', "(line 4)"),
        ("a = " + "[" * 5000, "TOML"),
    ],
)
def test_mistake_is_told_with_its_line_and_what_was_meant(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_policy(text)
    assert said in caught.value.message
