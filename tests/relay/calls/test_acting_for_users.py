"""Whom a request is made for: people, keys, and keys that act for people."""

import pytest

from doubles.relay_node import NOW
from doubles.security_bench import EDITS, MAPPINGS, USES, Bench, leaves


async def test_stored_answer_of_one_person_is_no_answer_for_another(bench: Bench) -> None:
    await bench.secure(enableB2B=True)
    ann, paula = await bench.session("Ann", "operator"), await bench.session("Paula", "partner")
    body = {"subject": "x"}
    first = await bench.ask({**ann, "Idempotency-Key": "k"}, "POST", "/records/rfis", body)
    assert first.status_code == 201
    other = await bench.ask({**paula, "Idempotency-Key": "k"}, "POST", "/records/rfis", body)
    assert other.json()["code"] == "idempotency_mismatch"
    again = await bench.session("Ann", "operator")
    same = await bench.ask({**again, "Idempotency-Key": "k"}, "POST", "/records/rfis", body)
    assert same.headers["idempotency-replayed"] == "true", "in a later session, too"


async def test_key_names_users_only_if_it_was_made_to(bench: Bench) -> None:
    _, plain = await bench.key("calls:read")
    answer = await bench.ask({**plain, "Cloud-Connect-User": "ann"}, *USES["query"])
    assert answer.status_code == 403
    assert "--acts-for" in answer.json()["detail"]
    root = await bench.ask({"Cloud-Connect-User": "ann"}, *USES["query"])
    assert root.status_code == 403, "nor with all scopes"


async def test_key_that_acts_for_a_user_has_no_more_rights_than_they(bench: Bench) -> None:
    await bench.session("Ann", "viewer")
    await bench.session("Paula", "partner")
    _, key = await bench.key("all", acts_for="members")
    await bench.secure(enableB2B=False, allowedUsers=["ann", "paula", "kim"])

    def named(name: str) -> dict[str, str]:
        return {**key, "Cloud-Connect-User": name}

    assert (await bench.ask(named("ANN"), *USES["query"])).status_code == 200
    assert (await bench.ask(named("ann"), *USES["create"])).status_code == 403, "a viewer"
    assert (await bench.ask(named("ann"), *EDITS["save"])).status_code == 403
    refused = await bench.ask(named("paula"), *USES["query"])
    assert "enableB2B" in refused.json()["detail"], "a partner whom the relay knows is one"
    assert (await bench.ask(named("kim"), *USES["create"])).status_code == 201, "a stranger"
    assert (await bench.ask(named("lee"), *USES["query"])).status_code == 403, "not listed"
    listed = await bench.relay.api.get("/api/keys", headers=named("kim"))
    assert listed.status_code == 403, "a stranger uses forms and nothing else"


async def test_strangers_are_partners_where_the_key_says_so(bench: Bench) -> None:
    _, key = await bench.key("calls:read", "calls:write", acts_for="partners")
    stranger = {**key, "Cloud-Connect-User": "someone@partner.example"}
    assert await bench.closed(stranger, USES) == set(USES)
    await bench.secure(enableB2B=True, enableFiltering=True, b2bMappings=MAPPINGS)
    assert (await bench.ask(stranger, *USES["query"])).status_code == 200
    assert leaves(bench.heard().condition) == [("status", "eq", "open")]


async def test_name_that_was_revoked_or_is_an_id_opens_nothing(bench: Bench) -> None:
    await bench.session("Ann", "operator")
    users = bench.relay.store.storage.of(bench.relay.store.subscription_id).users
    listed_id, _ = await bench.key("calls:read")
    ann = await users.revoke("ann", actor="test", at=NOW)
    assert ann is not None
    await bench.secure(allowedUsers=["ann", ann, listed_id])
    _, key = await bench.key("calls:read", acts_for="members")
    for name in ("ann", ann, listed_id, "usr_0000000000000000"):
        answer = await bench.ask({**key, "Cloud-Connect-User": name}, *USES["query"])
        assert answer.status_code == 403, name


@pytest.mark.parametrize(
    "headers",
    [
        [("Cloud-Connect-User", "")],
        [("Cloud-Connect-User", "x" * 257)],
        [("Cloud-Connect-User", "a\tb")],
        [("Cloud-Connect-User", "ann"), ("Cloud-Connect-User", "bob")],
    ],
)
async def test_unclear_name_of_a_user_is_refused(
    bench: Bench, headers: list[tuple[str, str]]
) -> None:
    _, key = await bench.key("calls:read", acts_for="members")
    answer = await bench.relay.api.get(
        f"{bench.source}/records/rfis", headers=[*key.items(), *headers]
    )
    assert answer.status_code == 400
    assert "Cloud-Connect-User" in answer.json()["detail"]
