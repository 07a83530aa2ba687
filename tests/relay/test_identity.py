from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect.signing import pack_fields, verify_signature
from cloud_connect_relay.identity import Pepper, RelayIdentity, relay_id_of
from cloud_connect_relay.paths import RelayPaths


@pytest.fixture
def paths(tmp_path: Path) -> RelayPaths:
    return RelayPaths(data_dir=tmp_path)


def test_identity_is_made_once_and_loaded_afterwards(paths: RelayPaths) -> None:
    assert not RelayIdentity.exists(paths)
    made = RelayIdentity.create(paths)
    assert RelayIdentity.exists(paths)
    for again in (RelayIdentity.create(paths), RelayIdentity.load(paths)):
        assert again.relay_id == made.relay_id == relay_id_of(made.public_key)
        assert again.pepper.digest("x") == made.pepper.digest("x")


def test_identity_signs(paths: RelayPaths) -> None:
    made = RelayIdentity.create(paths)
    message = pack_fields("test", b"x")
    assert verify_signature(made.public_key, made.sign(message), message)


def test_secrets_do_not_show(paths: RelayPaths) -> None:
    made = RelayIdentity.create(paths)
    shown = repr(made) + repr(made.pepper)
    assert repr(paths.pepper_file.read_bytes())[2:-1] not in shown
    assert repr(paths.key_file.read_bytes())[2:-1] not in shown


def test_another_pepper_gives_another_digest() -> None:
    assert Pepper(b"a").digest("x") != Pepper(b"b").digest("x")


def test_file_that_others_can_read_is_refused(paths: RelayPaths) -> None:
    RelayIdentity.create(paths)
    paths.key_file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        RelayIdentity.load(paths)


def test_key_file_may_be_read_only(paths: RelayPaths) -> None:
    RelayIdentity.create(paths)
    paths.key_file.chmod(0o400)
    RelayIdentity.load(paths)


def test_damaged_and_missing_files_are_named(paths: RelayPaths) -> None:
    RelayIdentity.create(paths)
    paths.pepper_file.write_bytes(b"short")
    with pytest.raises(ConfigurationError, match=r"relay\.pepper is damaged"):
        RelayIdentity.load(paths)
    paths.pepper_file.unlink()
    with pytest.raises(ConfigurationError, match=r"relay\.pepper cannot be read"):
        RelayIdentity.load(paths)
