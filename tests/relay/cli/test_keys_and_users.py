"""Keys and people on the command line, as far as who may do what is concerned."""

import pytest

from doubles.relay_commands import Commands


def test_key_is_bound_to_addresses_and_made_to_act_for_users(initialised: Commands) -> None:
    made = initialised.json(
        "key", "create", "--scope", "calls:read", "--address", "10.1.2.3/8", "--address", "::1",
        "--acts-for", "partners", "--expires-in", "90d",
    )  # fmt: skip
    assert (made["addresses"], made["acts_for"]) == (["10.0.0.0/8", "::1/128"], "partners")
    told = initialised("key", "create", "--scope", "calls:read", "--address", "example.com")
    assert told.status == 2
    assert "192.0.2.7" in told.err
    shown = initialised("key", "create", "--scope", "calls:read", "--acts-for", "members").out
    assert "anywhere" in shown
    assert "members" in shown


def test_key_is_followed_by_another(initialised: Commands) -> None:
    old = initialised.json("key", "create", "--scope", "calls:read", "--name", "nightly")
    new = initialised.json("key", "rotate", old["id"], "--overlap", "2d")
    assert new["id"] != old["id"]
    assert new["api_key"] != old["api_key"]
    assert (new["name"], new["scopes"], new["expires_at"]) == ("nightly", ["calls:read"], None)
    listed = {one["id"]: one for one in initialised.json("key", "list")["items"]}
    assert listed[old["id"]]["status"] == "live"
    assert listed[old["id"]]["expires_at"] is not None
    told = initialised("key", "rotate", "key_0000000000000000")
    assert told.status == 1
    assert "key list" in told.err


def test_person_gets_another_role_and_password(initialised: Commands) -> None:
    anna = initialised.json("user", "create", "--username", "anna", "--role", "partner")
    assert anna["role"] == "partner"
    changed = initialised.json("user", "update", "ANNA", "--role", "administrator")
    assert (changed["id"], changed["role"], changed["password"]) == (
        anna["id"],
        "administrator",
        None,
    )
    changed = initialised.json("user", "update", anna["id"], "--new-password")
    assert changed["password"] not in {None, anna["password"]}
    assert initialised("user", "update", "anna").status == 2
    told = initialised("user", "update", "nobody", "--role", "viewer")
    assert told.status == 1
    assert "user list" in told.err


@pytest.mark.parametrize("words", [("revoke", "admin"), ("update", "admin", "--role", "viewer")])
def test_last_administrator_is_kept(initialised: Commands, words: tuple[str, ...]) -> None:
    told = initialised("user", *words)
    assert told.status == 1
    assert "last administrator" in told.err
    initialised.json("user", "create", "--username", "anna", "--role", "administrator")
    assert initialised("user", *words).status == 0
