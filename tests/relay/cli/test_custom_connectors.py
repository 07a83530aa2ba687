import io

import pytest

from doubles.relay_commands import Commands

THEIRS = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_custom_connector_is_created_listed_and_deleted(initialised: Commands) -> None:
    told = initialised("custom-connector", "create", "Kianda")
    assert told.status == 0, told.err
    assert "/custom-connector/reg_" in told.out
    assert "shown this once" in told.out
    (listed,) = initialised.json("custom-connector", "list")["items"]
    assert (listed["title"], listed["dialect"], listed["allow_writes"]) == ("Kianda", "A", True)
    assert "secret" not in listed
    assert initialised("custom-connector", "delete", listed["id"]).status == 0
    assert initialised.json("custom-connector", "list")["items"] == []
    told = initialised("custom-connector", "delete", listed["id"])
    assert told.status == 1
    assert "custom-connector list" in told.err


def test_secret_of_kianda_is_read_from_standard_input(
    initialised: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{THEIRS}\n"))
    made = initialised.json("custom-connector", "create", "Kianda", "--secret-stdin")
    assert made["secret"] is None
    monkeypatch.setattr("sys.stdin", io.StringIO(THEIRS))
    changed = initialised.json("custom-connector", "set-secret", made["id"])
    assert changed == {"id": made["id"], "changed": True}
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong"))
    told = initialised("custom-connector", "set-secret", made["id"])
    assert told.status == 1
    assert "base64 of 32 bytes" in told.err
    assert "wrong" not in told.err


def test_urls_are_made_of_the_public_address(initialised: Commands) -> None:
    settings = initialised.data_dir / "relay.toml"
    settings.write_text('public_url = "https://relay.example.com"\n')
    made = initialised.json("custom-connector", "create", "Kianda", "--dialect", "B")
    place = f"https://relay.example.com/custom-connector/{made['id']}"
    assert [made[name] for name in ("test_url", "metadata_url", "query_url")] == [
        f"{place}/test",
        f"{place}/metadata",
        f"{place}/query",
    ]
    assert len(made["secret"]) == 32
    assert made["allow_writes"] is False
