import pytest
from pydantic import ValidationError

from cloud_connect.audit import Checkpoint, supersedes
from cloud_connect.signing import SigningKey

KEY = SigningKey.generate()


def signed(seq: int = 5, digest: bytes = b"h" * 32, log: str = "log") -> Checkpoint:
    return Checkpoint.sign(KEY, log=log, seq=seq, digest=digest, at=1000.5)


def test_checkpoint_says_what_was_signed_and_by_whom() -> None:
    checkpoint = signed()
    assert checkpoint.is_genuine()
    assert (checkpoint.seq, checkpoint.digest, checkpoint.time) == (5, b"h" * 32, 1_000_500)
    assert checkpoint.key == KEY.public_key
    assert Checkpoint.model_validate_json(checkpoint.model_dump_json()) == checkpoint


@pytest.mark.parametrize(
    "change",
    [
        {"log": "other"},
        {"seq": 6},
        {"hash": "00" * 32},
        {"time": 1},
        {"key": SigningKey.generate().public_key},
    ],
)
def test_nothing_of_a_checkpoint_can_be_changed(change: dict[str, object]) -> None:
    assert not signed().model_copy(update=change).is_genuine()


def test_malformed_checkpoint_is_none() -> None:
    document = signed().model_dump(mode="json")
    for change in ({"hash": "zz" * 32}, {"seq": 0}, {"log": ""}, {"time": -1}, {"key": "AAAA"}):
        with pytest.raises(ValidationError):
            Checkpoint.model_validate(document | change)


def test_log_goes_on_or_stays_and_nothing_else() -> None:
    assert supersedes(signed(6), signed(5))
    assert supersedes(signed(5), signed(5))
    assert not supersedes(signed(4), signed(5))
    assert not supersedes(signed(5, b"x" * 32), signed(5))
    assert not supersedes(signed(6, log="other"), signed(5))
