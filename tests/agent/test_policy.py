"""Tests of ``cloud_connect_agent.policy``."""

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.calls import Environment
from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.policy import (
    Access,
    Ceiling,
    Effect,
    FixedPolicy,
    PolicyClass,
    PolicyDocument,
    Rule,
    Verb,
    lowest,
    parse_policy,
)

WRITES = (Verb.CREATE, Verb.UPDATE, Verb.DELETE, Verb.PASSTHROUGH_WRITE)


def access(verb: Verb = Verb.READ, **facts: Any) -> Access:
    given = {"environment": Environment.LIVE, "company_id": 1, **facts}
    return Access(verb=verb, **given)


def rules(text: str) -> PolicyDocument:
    return parse_policy(text)


ids = st.integers(1, 3)
rule_values = st.fixed_dictionaries(
    {"effect": st.sampled_from(Effect)},
    optional={
        "verbs": st.frozensets(st.sampled_from(Verb), min_size=1),
        "environments": st.frozensets(st.sampled_from(Environment), min_size=1),
        "companies": st.frozensets(ids, min_size=1),
        "projects": st.frozensets(ids, min_size=1),
        "resources": st.frozensets(st.sampled_from(["rfis", "vendors"]), min_size=1),
        "paths": st.lists(st.sampled_from(["rest/v1.0", "rest/*/projects"]), min_size=1).map(tuple),
    },
)
documents = st.builds(
    lambda mode, values: PolicyDocument(
        mode=mode,
        rules=tuple(Rule(id=f"r{number}", **value) for number, value in enumerate(values)),
    ),
    st.sampled_from(["normal", "read-only"]),
    st.lists(rule_values, max_size=5),
)
accesses = st.builds(
    Access,
    verb=st.sampled_from(Verb),
    environment=st.sampled_from(Environment),
    company_id=ids,
    project_id=st.none() | ids,
    resource=st.none() | st.sampled_from(["rfis", "vendors"]),
    path=st.none() | st.sampled_from(["rest/v1.0/me", "rest/v1.1/projects/1"]),
)


@given(documents, accesses)
def test_read_only_mode_beats_every_rule(document: PolicyDocument, wanted: Access) -> None:
    decision = document.model_copy(update={"mode": "read-only"}).decide(wanted)
    if wanted.verb in WRITES:
        assert not decision.allowed
        assert decision.rule == "mode"


@given(documents, accesses)
def test_what_is_allowed_is_allowed_by_a_rule_of_the_file(
    document: PolicyDocument, wanted: Access
) -> None:
    decision = document.decide(wanted)
    named = {rule.id: rule for rule in document.rules}
    assert decision.reason
    if decision.allowed:
        assert named[decision.rule].effect is Effect.ALLOW
    else:
        assert decision.rule in {"default", "mode"} or (named[decision.rule].effect is Effect.DENY)


@given(documents, accesses)
def test_the_first_rule_that_matches_decides(document: PolicyDocument, wanted: Access) -> None:
    decision = document.decide(wanted)
    matching = [rule.id for rule in document.rules if rule.matches(wanted)]
    if decision.rule not in {"default", "mode"}:
        assert decision.rule == matching[0]
    elif decision.rule == "default":
        assert not matching


@given(documents, accesses)
def test_the_class_never_promises_less_than_is_allowed(
    document: PolicyDocument, wanted: Access
) -> None:
    if not document.decide(wanted).allowed:
        return
    if wanted.verb in WRITES:
        needed = PolicyClass.READ_WRITE
    elif wanted.verb is Verb.TEST:
        needed = PolicyClass.TEST_ONLY
    else:
        needed = PolicyClass.READ_ONLY
    assert document.policy_class.rank >= needed.rank


@given(documents, accesses)
def test_a_deny_rule_for_everything_on_top_leaves_nothing(
    document: PolicyDocument, wanted: Access
) -> None:
    closed = document.model_copy(
        update={"rules": (Rule(id="none", effect=Effect.DENY), *document.rules)}
    )
    assert not closed.decide(wanted).allowed
    assert closed.policy_class is PolicyClass.NONE


def test_without_rules_everything_is_refused() -> None:
    decision = rules("").decide(access())
    assert (decision.allowed, decision.rule) == (False, "default")


def test_a_rule_covers_only_what_it_names() -> None:
    policy = rules(
        """
        [[rules]]
        id = "some"
        effect = "allow"
        verbs = ["read"]
        environments = ["developer-sandbox"]
        companies = [7]
        projects = [70]
        resources = ["rfis"]
        """
    )
    exact: dict[str, Any] = {
        "environment": Environment.DEVELOPER_SANDBOX,
        "company_id": 7,
        "project_id": 70,
        "resource": "rfis",
    }
    assert policy.decide(access(**exact)).rule == "some"
    changes: tuple[dict[str, Any], ...] = (
        {"environment": Environment.LIVE},
        {"company_id": 8},
        {"project_id": 71},
        {"project_id": None},
        {"resource": "vendors"},
        {"resource": None},
    )
    for change in changes:
        assert not policy.decide(access(**{**exact, **change})).allowed, change
    assert not policy.decide(access(Verb.CREATE, **exact)).allowed


@pytest.mark.parametrize("named", ['resources = ["rfis"]', "projects = [5]"])
def test_a_deny_rule_covers_raw_calls_whose_content_is_not_known(named: str) -> None:
    policy = rules(
        f"""
        [[rules]]
        id = "private"
        effect = "deny"
        {named}
        [[rules]]
        id = "rest"
        effect = "allow"
        """
    )
    raw = access(Verb.PASSTHROUGH_READ, path="rest/v1.0/projects/5/rfis")
    assert policy.decide(raw).rule == "private"
    assert policy.decide(access(resource="vendors", project_id=6)).rule == "rest"
    assert policy.decide(access(Verb.TEST)).rule == "rest"


def test_paths_restrict_raw_calls_and_nothing_else() -> None:
    policy = rules(
        """
        [[rules]]
        id = "raw"
        effect = "allow"
        paths = ["/rest/*/projects/*/rfis/"]
        """
    )

    def rule(path: str | None, verb: Verb = Verb.PASSTHROUGH_READ) -> str:
        return policy.decide(access(verb, path=path)).rule

    assert rule("rest/v1.0/projects/1/rfis") == "raw"
    assert rule("/rest/v1.1/projects/1/rfis/2/replies") == "raw"
    assert rule("rest/v1.0/projects/1") == "default"
    assert rule("rest/v1.0/projects/1/rfis_secret") == "default"
    assert rule(None) == "default"
    assert rule("rest/v1.0/projects/1/rfis", Verb.READ) == "default"


def test_a_raw_path_that_is_not_known_is_denied_by_a_rule_with_paths() -> None:
    policy = rules(
        """
        [[rules]]
        id = "no"
        effect = "deny"
        paths = ["rest/v1.0/payments"]
        [[rules]]
        id = "yes"
        effect = "allow"
        """
    )
    assert policy.decide(access(Verb.PASSTHROUGH_READ)).rule == "no"
    assert policy.decide(access(Verb.PASSTHROUGH_READ, path="rest/v1.0/me")).rule == "yes"


def test_the_reason_names_rule_verb_and_place() -> None:
    policy = rules('[[rules]]\nid = "look"\neffect = "allow"\nverbs = ["read"]')
    allowed = policy.decide(access(resource="rfis", project_id=5)).reason
    assert "'look'" in allowed
    assert "read of rfis in project 5 of company 1 (live)" in allowed
    assert policy.decide(access(Verb.DELETE)).reason.endswith("delete in company 1 (live).")
    anywhere = policy.decide(replace(access(Verb.DELETE), company_id=0)).reason
    assert anywhere.endswith("delete in any company (live).")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nmae = 1", "nmae"),
        ('[[rules]]\nid = "a"\neffect = "allow"\nverb = ["read"]', "rules.0.verb"),
        ('[[rules]]\nid = "a"\neffect = "permit"', "rules.0.effect"),
        ('[[rules]]\nid = "a"\neffect = "allow"\nverbs = ["write"]', "verbs"),
        ('[[rules]]\nid = "a"\neffect = "allow"\nenvironments = "live"', "environments"),
        ('[[rules]]\nid = "a"\neffect = "allow"\nenvironments = ["lvie"]', "environments"),
        ('[[rules]]\nid = "a"\neffect = "allow"\nenvironments = [1]', "environments"),
        ('[[rules]]\nid = "a"\neffect = "allow"\ncompanies = []', "companies"),
        ('[[rules]]\nid = "a"\neffect = "allow"\ncompanies = [true]', "companies"),
        ('[[rules]]\nid = "a"\neffect = "allow"\ncompanies = ["1"]', "companies"),
        ('[[rules]]\nid = "a"\neffect = "allow"\ncompanies = [0]', "companies"),
        ('[[rules]]\nid = "A b"\neffect = "allow"', "id"),
        ('[[rules]]\neffect = "allow"', "id"),
        ('mode = "off"', "mode"),
        ("[[rules]", "TOML"),
        (
            '[[rules]]\nid = "a"\neffect = "allow"\n[[rules]]\nid = "a"\neffect = "deny"',
            "'a' is used twice",
        ),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=r"policy\.toml") as caught:
        parse_policy(text)
    assert named in caught.value.message


def test_a_fixed_policy_allows_the_test_at_most() -> None:
    open_for_test = FixedPolicy(rule="r", reason="Why.", test_allowed=True)
    closed = FixedPolicy(rule="r", reason="Why.", test_allowed=False)
    assert open_for_test.decide(access(Verb.TEST)).allowed
    assert not open_for_test.decide(access()).allowed
    assert not closed.decide(access(Verb.TEST)).allowed
    assert open_for_test.summary()["class"] == "test-only"
    assert closed.summary()["class"] == "none"
    assert closed.summary()["problem"] == "Why."


def test_long_paths_and_many_rules_are_decided_quickly() -> None:
    policy = PolicyDocument(
        rules=tuple(
            Rule(id=f"r{n}", effect=Effect.ALLOW, paths=("rest/*/" * 50 + "end",))
            for n in range(1000)
        )
    )
    start = time.process_time()
    policy.decide(access(Verb.PASSTHROUGH_READ, path="rest/x/" * 1000))
    assert time.process_time() - start < 1


def test_rules_number_of_records_takes_the_place_of_the_documents() -> None:
    policy = rules(
        """
        max_records_per_call = 50
        [[rules]]
        id = "bulk"
        effect = "allow"
        resources = ["vendors"]
        max_records_per_call = 500
        [[rules]]
        id = "rest"
        effect = "allow"
        """
    )
    bulk = policy.decide(access(Verb.CREATE, resource="vendors"))
    rest = policy.decide(access(Verb.CREATE, resource="rfis"))
    read = policy.decide(access(Verb.READ, resource="rfis"))
    assert bulk.ceiling is not None
    assert rest.ceiling is not None
    assert (bulk.ceiling.records, bulk.ceiling.rule) == (500, "bulk")
    assert (rest.ceiling.records, rest.ceiling.rule) == (50, "max_records_per_call")
    assert read.ceiling is None
    assert lowest([bulk, read, rest]) is rest.ceiling
    assert lowest([read]) is None


def test_ceiling_is_reached_before_it_is_passed() -> None:
    decision = rules('max_records_per_call = 2\n[[rules]]\nid = "all"\neffect = "allow"\n').decide(
        access(Verb.DELETE)
    )
    assert decision.ceiling is not None
    assert decision.ceiling.refusal(2) is None
    assert "at most 2 records." in (decision.ceiling.refusal(3) or "")
    assert "at most 1 record." in (Ceiling(records=1, rule="one").refusal(2) or "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_records_per_call = 0", "max_records_per_call"),
        ("max_records_per_call = true", "max_records_per_call"),
        (
            '[[rules]]\nid = "no"\neffect = "deny"\nmax_records_per_call = 1',
            "the rule 'no' refuses",
        ),
    ],
)
def test_ceiling_that_means_nothing_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        rules(text)
