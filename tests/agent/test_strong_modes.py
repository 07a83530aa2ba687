"""What the policy file may say about signed and sealed calls, and the key that it is about."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError, JournalUnavailableError, Outcome
from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.cli.policy_strong import strong_facts, strong_rows
from cloud_connect_agent.journal import Journal
from cloud_connect_agent.policy import parse_policy
from cloud_connect_agent.policy_file import PolicyFile
from cloud_connect_agent.sealing_keys import SealingKeys
from cloud_connect_agent.strong_modes import NO_STRONG_MODES
from doubles.fake_procore import MemoryVault

KEY = SigningKey.generate()


def policy(text: str) -> str:
    return f"[signatures]\n{text}\n"


def test_keys_are_found_by_their_names() -> None:
    document = parse_policy(policy(f'require = "all"\nkeys = ["{to_text(KEY.public_key)}"]'))
    assert document.signatures.require == "all"
    assert document.signatures.key(KEY.key_id) == KEY.public_key
    assert document.signatures.key(SigningKey.generate().key_id) is None
    assert document.sealing.require == "none"


@pytest.mark.parametrize(
    "text",
    [
        'require = "sometimes"',
        'keys = ["AAAA"]',
        'keys = ["not base64url!"]',
        f'keys = ["{to_text(bytes(32))}"]',  # of low order: everybody has signed everything
        'require = "writes"\nkey = "x"',
    ],
)
def test_a_mistake_is_refused_whole(text: str) -> None:
    with pytest.raises(ConfigurationError, match="signatures"):
        parse_policy(policy(text))


def test_the_policy_is_shown_in_words_and_by_the_names_of_keys() -> None:
    assert strong_rows(None) == []
    assert strong_facts(None) == {}
    silent = parse_policy("")
    assert strong_rows(silent) == [("Signatures", ""), ("Seals", "")]
    locked = parse_policy(policy('require = "all"') + '[sealing]\nrequire = "writes"\n')
    assert strong_rows(locked) == [
        ("Signatures", "all must be signed; 0 keys, so nobody can"),
        ("Seals", "writes must be sealed"),
    ]
    open_to_one = parse_policy(policy(f'keys = ["{to_text(KEY.public_key)}"]'))
    assert strong_rows(open_to_one)[0] == ("Signatures", "1 key")
    assert strong_facts(open_to_one) == {
        "signatures": {"require": "none", "keys": [KEY.key_id]},
        "sealing": {"require": "none"},
    }


def test_a_policy_file_tells_what_holds_at_the_moment(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    file = PolicyFile(path)
    assert file.strong_modes() == NO_STRONG_MODES
    path.write_text('[sealing]\nrequire = "writes"\n')
    path.chmod(0o600)
    file.reload()
    assert file.strong_modes().sealing.require == "writes"


async def test_the_sealing_key_is_made_once_and_renewed_on_demand() -> None:
    vault = MemoryVault()
    keys = SealingKeys(vault)
    first = await keys.load()
    assert (await keys.load()).public_key == first.public_key
    renewed = await keys.renew()
    assert renewed.public_key != first.public_key
    assert (await keys.load()).public_key == renewed.public_key


async def test_a_number_stands_for_one_call_until_that_is_known_to_have_done_nothing(
    tmp_path: Path,
) -> None:
    async with Journal.open(tmp_path / "journal.sqlite3") as journal:
        assert await journal.claim("n", "a") is None
        assert await journal.claim("n", "a") == "a"  # it is its own, from before
        assert await journal.claim("n", "b") == "a"  # it may be on its way
        await journal.release("n", "a")
        assert await journal.claim("n", "b") is None
        await journal.receive("b", operation="records.create", fingerprint="f")
        await journal.release("n", "b")  # the journal knows it: only its outcome counts
        assert await journal.claim("n", "c") == "b"
        await journal.finish("b", outcome=Outcome.NOT_EXECUTED, status=503, head=b"{}", body=b"")
        assert await journal.claim("n", "c") is None
        await journal.receive("c", operation="records.create", fingerprint="f")
        await journal.finish("c", outcome=Outcome.COMPLETED, status=201, head=b"{}", body=b"")
        assert await journal.claim("n", "d") == "c"


async def test_a_claim_that_changed_on_the_disk_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    async with Journal.open(path) as journal:
        await journal.claim("n", "a")
    spoil(path)
    async with Journal.open(path) as journal:
        with pytest.raises(JournalUnavailableError, match="claim has changed"):
            await journal.claim("n", "b")
        assert journal.damaged


def spoil(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE steps SET data = X'62' WHERE key = 'claim:n'")
