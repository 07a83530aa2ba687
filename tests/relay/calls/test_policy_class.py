"""What a join token allows at most holds at the relay, whatever the PC's policy says."""

import pytest

from doubles.call_relay import CallRelay


@pytest.mark.parametrize(
    ("policy_class", "test", "read", "write"),
    [
        ("read-write", 200, 200, 201),
        ("read-only", 200, 200, 403),
        ("test-only", 200, 403, 403),
        ("a word of a later version", 200, 403, 403),
    ],
)
async def test_connector_is_sent_what_its_join_token_allows(
    relay: CallRelay, policy_class: str, test: int, read: int, write: int
) -> None:
    agent, base = await relay.ready()
    relay.connected[0].live.policy_class = policy_class
    tested = await relay.api.post(f"{base}/test")
    assert (tested.status_code, tested.json()["success"]) == (test, True)
    listed = await relay.api.get(f"{base}/records/rfis")
    raw = await relay.api.get(f"{base}/procore/rest/v1.0/rfis")
    created = await relay.api.post(
        f"{base}/records/rfis", headers={"Idempotency-Key": "k"}, json={"name": "x"}
    )
    raw_write = await relay.api.post(f"{base}/procore/rest/v1.0/rfis", json={"name": "x"})
    assert [listed.status_code, raw.status_code] == [read, read]
    assert created.status_code == write
    assert (raw_write.status_code == 403) is (write == 403)
    answers = [tested, listed, raw, created, raw_write]
    assert len(agent.calls) == sum(answer.status_code != 403 for answer in answers)
    if write == 403:
        problem = created.json()
        assert (problem["code"], problem["outcome"]) == ("policy_denied", "not_executed")
        assert f"enrolled as {policy_class}" in problem["detail"]
