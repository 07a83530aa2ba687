"""Tests of ``cloud_connect_agent.policy_file``."""

import os
from itertools import takewhile
from pathlib import Path

import pytest

from cloud_connect.calls import Environment
from cloud_connect_agent.policy import Access, PolicyClass, PolicyDocument, Verb, parse_policy
from cloud_connect_agent.policy_file import PolicyFile, starter
from cloud_connect_agent.procore.catalog import load_catalog

CLASSES = (PolicyClass.TEST_ONLY, PolicyClass.READ_ONLY, PolicyClass.READ_WRITE)
ALLOWED = {
    PolicyClass.TEST_ONLY: {Verb.TEST},
    PolicyClass.READ_ONLY: {Verb.TEST, Verb.READ, Verb.PASSTHROUGH_READ},
    PolicyClass.READ_WRITE: set(Verb),
}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def write(file: Path, text: str, mode: int = 0o600) -> None:
    draft = file.with_suffix(".draft")
    draft.write_text(text)
    draft.chmod(mode)
    draft.replace(file)


def allows(policy: PolicyFile | PolicyDocument, verb: Verb) -> bool:
    wanted = Access(
        verb=verb, environment=Environment.LIVE, company_id=1, project_id=2, resource="rfis"
    )
    return policy.decide(wanted).allowed


@pytest.mark.parametrize("policy_class", CLASSES)
def test_each_starter_allows_what_its_name_says(policy_class: PolicyClass) -> None:
    policy = parse_policy(starter(policy_class))
    assert {verb for verb in Verb if allows(policy, verb)} == ALLOWED[policy_class]
    assert policy.policy_class is policy_class


def test_the_example_in_the_starter_works() -> None:
    text = starter(PolicyClass.READ_WRITE)
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line == "#   [[rules]]")
    shown = takewhile(lambda line: line.startswith("#   "), lines[start:])
    (rule,) = parse_policy("\n".join(line.removeprefix("#   ") for line in shown)).rules
    assert rule.id == "no-commitments"
    meant = ("commitment", "purchase_order_contract", "work_order_contract")
    assert set(rule.resources or ()) == {
        resource.name for resource in load_catalog() if resource.name.startswith(meant)
    }


def test_raw_calls_are_told_in_the_summary() -> None:
    raw = [parse_policy(starter(each)).summary()["pass_through"] for each in CLASSES]
    assert raw == ["none", "read-only", "read-write"]


def test_without_a_file_only_the_connection_test_is_allowed(file: Path) -> None:
    policy = PolicyFile(file)
    assert {verb for verb in Verb if allows(policy, verb)} == {Verb.TEST}
    assert "no policy.toml" in str(policy.summary()["problem"])


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        ("[[rules]", 0o600, "not valid TOML"),
        ("unknown = 1", 0o600, "unknown key"),
        ("mode = 1", 0o600, "mode"),
        ("\udcff", 0o600, "UTF-8"),
        ("#" * 1_100_000, 0o600, "larger"),
        (starter(PolicyClass.READ_WRITE), 0o662, "other accounts"),
        (starter(PolicyClass.READ_WRITE), 0o620, "other accounts"),
    ],
)
def test_whatever_is_wrong_with_the_file_refuses_everything(
    file: Path, text: str, mode: int, problem: str
) -> None:
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    file.chmod(mode)
    policy = PolicyFile(file)
    assert not any(allows(policy, verb) for verb in Verb)
    assert problem in str(policy.summary()["problem"])


def test_an_empty_file_refuses_everything(file: Path) -> None:
    write(file, "")
    assert not any(allows(PolicyFile(file), verb) for verb in Verb)


def test_something_else_than_a_file_refuses_everything(file: Path) -> None:
    file.mkdir()
    policy = PolicyFile(file)
    assert not allows(policy, Verb.TEST)
    assert "regular file" in str(policy.summary()["problem"])


def test_a_pipe_in_its_place_refuses_and_does_not_hang(file: Path) -> None:
    os.mkfifo(file, 0o600)
    assert not allows(PolicyFile(file), Verb.TEST)


def test_a_path_that_cannot_be_followed_refuses_everything(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    policy = PolicyFile(tmp_path / "file" / "policy.toml")
    assert not allows(policy, Verb.TEST)
    assert "cannot be read" in str(policy.summary()["problem"])


def test_a_file_of_another_account_refuses_everything(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(file, starter(PolicyClass.READ_WRITE))
    if os.geteuid() == 0:
        os.chown(file, 65534, -1)
    else:  # only root can give a file away
        monkeypatch.setattr(os, "geteuid", lambda: 65534)
    policy = PolicyFile(file)
    assert not allows(policy, Verb.TEST)
    assert "belongs neither" in str(policy.summary()["problem"])


def test_a_change_holds_within_a_second(file: Path, clock: Clock) -> None:
    write(file, starter(PolicyClass.READ_ONLY))
    policy = PolicyFile(file, clock=clock)
    assert not allows(policy, Verb.CREATE)
    write(file, starter(PolicyClass.READ_WRITE))
    clock.now = 0.9
    assert not allows(policy, Verb.CREATE)
    clock.now = 1.0
    assert allows(policy, Verb.CREATE)
    file.unlink()
    clock.now = 2.0
    assert not allows(policy, Verb.CREATE)
    assert allows(policy, Verb.TEST)


def test_losing_its_protection_closes_it(file: Path, clock: Clock) -> None:
    write(file, starter(PolicyClass.READ_WRITE))
    policy = PolicyFile(file, clock=clock)
    assert allows(policy, Verb.CREATE)
    file.chmod(0o666)
    clock.now = 1.0
    assert not allows(policy, Verb.TEST)


def test_reload_looks_at_once(file: Path, clock: Clock) -> None:
    write(file, starter(PolicyClass.TEST_ONLY))
    policy = PolicyFile(file, clock=clock)
    assert not allows(policy, Verb.READ)
    write(file, starter(PolicyClass.READ_ONLY))
    policy.reload()
    assert allows(policy, Verb.READ)


def test_a_file_that_did_not_change_is_not_read_again(file: Path, clock: Clock) -> None:
    write(file, starter(PolicyClass.READ_ONLY))
    policy = PolicyFile(file, clock=clock)
    first = policy.current()
    clock.now = 5.0
    assert policy.current() is first
