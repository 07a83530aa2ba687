"""Policy files that are missing, broken, somebody else's, or change under a running agent."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_connect.calls import Operation
from cloud_connect_agent.policy import Access, Decision, PolicyClass
from cloud_connect_agent.policy_file import starter
from doubles.gates import NoPast, OwnProjects, Verdicts
from doubles.policed_agent import PolicedAgent, policed_agent
from doubles.simulator_process import COMPANY, PROJECT, Simulator

READ_WRITE = starter(PolicyClass.READ_WRITE)
READ_ONLY = starter(PolicyClass.READ_ONLY)
VENDOR = {"resource": "vendors"}
OTHER_ACCOUNT = 12345

Harm = Callable[[PolicedAgent], None]


def missing(agent: PolicedAgent) -> None:
    agent.policy_file.unlink()


def empty(agent: PolicedAgent) -> None:
    agent.write_policy("")


def malformed(agent: PolicedAgent) -> None:
    agent.write_policy(READ_WRITE.replace("[[rules]]", "[[rules]", 1).replace("#", ""))


def world_writable(agent: PolicedAgent) -> None:
    agent.policy_file.chmod(0o666)


def of_another_account(agent: PolicedAgent) -> None:
    os.chown(agent.policy_file, OTHER_ACCOUNT, -1)


def with_unknown_key(agent: PolicedAgent) -> None:
    agent.write_policy(READ_WRITE + "compnies = [1]\n")


def swapped(agent: PolicedAgent) -> None:
    agent.write_policy(READ_ONLY)


HARMS: tuple[tuple[Harm, str], ...] = (
    (missing, "no-policy-file"),
    (empty, "default"),
    (malformed, "unreadable-policy-file"),
    (world_writable, "unreadable-policy-file"),
    (of_another_account, "unreadable-policy-file"),
    (with_unknown_key, "unreadable-policy-file"),
    (swapped, "default"),
)


async def create(agent: PolicedAgent, name: str) -> str:
    """Create a vendor; return ``created`` or the rule that refuses it."""
    answer = await agent.call(Operation.CREATE, VENDOR, {"name": name})
    if answer.head.problem is None:
        assert answer.head.status == 201
        return "created"
    assert answer.problem.code == "policy_denied"
    return str(answer.problem.detail).rpartition("(rule ")[2].removesuffix(")")


@pytest.mark.catalogue("T105")
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another account, as root may")
async def test_whatever_happens_to_the_file_fails_closed(
    simulator: Simulator, tmp_path: Path
) -> None:
    expected = []
    async with policed_agent(tmp_path, simulator, READ_WRITE) as agent:
        for harm, rule in HARMS:
            agent.write_policy(READ_WRITE)
            name = f"before {harm.__name__}"
            assert await create(agent, name) == "created"
            expected.append(name)
            harm(agent)
            agent.seconds += 2
            assert await create(agent, harm.__name__) == rule, harm.__name__
            told = agent.policy.told()
            assert told["class"] != "read-write"
            assert "compnies" not in str(told), "the relay need not know what the file says"
    assert len(simulator.ledger()) == len(expected) == 7


class _Alternating:
    """A policy file that is swapped between any two looks at it."""

    def __init__(self) -> None:
        self.looks = 0
        self._allowing = ("read", "update")

    def current(self) -> "_Alternating":
        self.looks += 1
        return self

    def decide(self, access: Access) -> Decision:
        version = self.looks % 2
        allowed = access.verb.value == self._allowing[version]
        return Decision(allowed=allowed, rule=f"version-{version}", reason="Why.")

    def summary(self) -> dict[str, object]:
        return {}


@pytest.mark.catalogue("T105")
async def test_one_version_of_the_policy_decides_on_all_that_a_call_touches() -> None:
    from cloud_connect.errors import PolicyDeniedError
    from cloud_connect_agent.policy import Verb
    from cloud_connect_agent.policy.gate import PolicyGate
    from doubles.policed_agent import SANDBOX

    policies = _Alternating()
    gate = PolicyGate(policies, approvals=Verdicts(), projects=OwnProjects(), past=NoPast())
    both = [
        Access(verb=verb, environment=SANDBOX, company_id=COMPANY, project_id=PROJECT)
        for verb in (Verb.READ, Verb.UPDATE)
    ]
    for accesses in (both, both[::-1]) * 5:
        looks = policies.looks
        with pytest.raises(PolicyDeniedError):
            await gate.allow(accesses, 0.0)
        assert policies.looks == looks + 1


@pytest.mark.catalogue("T105")
async def test_half_of_a_file_is_never_in_force(simulator: Simulator, tmp_path: Path) -> None:
    """A rule that is cut short restricts less: it holds only once nobody writes any more."""
    narrow = '[[rules]]\nid = "one"\neffect = "allow"\ncompanies = [1]\n'
    async with policed_agent(tmp_path, simulator, narrow) as agent:
        assert await create(agent, "a") == "default"
        with agent.policy_file.open("w") as file:  # as editors do that write in place
            file.write('[[rules]]\nid = "one"\neffect = "allow"\n')
            file.flush()
            agent.seconds += 2
            assert await create(agent, "b") == "default"
            file.write("companies = [2]\n")
        agent.seconds += 2
        assert await create(agent, "c") == "default"
        agent.seconds += 2
        assert await create(agent, "d") == "default"
        assert agent.policy.summary()["problem"] is None
        agent.policy_file.write_text('[[rules]]\nid = "one"\neffect = "allow"\n')
        results = set()
        for _ in range(2):
            agent.seconds += 2
            results.add(await create(agent, "e"))
        assert "created" in results, "what stands there holds once it is settled"
