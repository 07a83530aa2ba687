"""Tokens: how long they live, by whose clock."""

import json

import pytest

from cloud_connect.calls import Environment
from cloud_connect_agent.procore.grants.accounts import Account
from cloud_connect_agent.procore.tokens import AccessToken, AppCredentials, StoredToken, read_answer

APP = AppCredentials.model_validate({"client_id": "a", "client_secret": "b"})


@pytest.mark.parametrize(
    ("answer", "date", "left"),
    [
        ({"expires_in": 100, "created_at": 1_000_000_000}, "Sun, 09 Sep 2001 01:46:40 GMT", 100),
        ({"expires_in": 100, "created_at": 1_000_000_000}, "Sun, 09 Sep 2001 01:47:10 GMT", 70),
        ({"expires_in": 100, "created_at": 1_000_000_000}, "Sun, 09 Sep 2001 01:40:00 GMT", 100),
        ({"expires_in": 100, "created_at": 1_000_000_000}, "Sun, 09 Sep 2001 01:50:00 GMT", 100),
        ({"expires_in": 100, "created_at": 1_000_000_000}, "no date", 100),
        ({"expires_in": 100, "created_at": 1_000_000_000}, None, 100),
        ({"expires_in": 100}, "Sun, 09 Sep 2001 01:46:40 GMT", 100),
        ({}, None, 5400),
        ({"expires_in": 1e12}, None, 30 * 86400),
    ],
)
def test_a_life_is_counted_on_procores_clock(
    answer: dict[str, float], date: str | None, left: float
) -> None:
    body = json.dumps({"access_token": "t", **answer}).encode()
    stored = read_answer(body, date=date, wall=50.0, app=APP)
    assert stored is not None
    assert stored.expires_at == pytest.approx(50.0 + left)


def test_a_stored_token_survives_its_round_trip() -> None:
    stored = read_answer(b'{"access_token":"t"}', date=None, wall=0.0, app=APP)
    assert stored is not None
    assert StoredToken.parse(stored.dump()) == stored
    token = AccessToken.of(
        stored, account=Account(environment=Environment.LIVE), generation=1, now=0.0, wall=0.0
    )
    assert not token.ageing(now=0.0, wall=0.0)
    assert token.ended(now=5400.0, wall=0.0)
