"""A log that does not go on from a checkpoint is a fault, until somebody accepted it in the log."""

from collections.abc import Mapping, Sequence

import pytest

from cloud_connect.audit import (
    ACCEPTED,
    ChainedRecord,
    ChainVerifier,
    Checkpoint,
    Verdict,
    accepted_in,
    canonical,
    chained,
    genesis,
)
from cloud_connect.signing import SigningKey

KEY = SigningKey.generate()
LOG = "log"


def chain(
    count: int, *, fork: int | None = None, accepts: Sequence[Checkpoint] = ()
) -> list[ChainedRecord]:
    """Records 1 to *count*; from *fork* on they say something else, and that one accepts."""
    records: list[ChainedRecord] = []
    prev = genesis(LOG)
    for seq in range(1, count + 1):
        fields: dict[str, object] = {"seq": seq, "action": "call"}
        if fork is not None and seq >= fork:
            fields["life"] = "second"
        if seq == fork and accepts:
            places = [{"log": one.log, "seq": one.seq, "hash": one.hash} for one in accepts]
            fields |= {
                "action": ACCEPTED,
                "actor": "administrator",
                "time": "2026-11-26T12:00:00.000Z",
                "detail": {"reason": "the disk failed", "checkpoints": places},
            }
        records.append(chained(seq, canonical(fields), prev))
        prev = records[-1].hash
    return records


def checkpoint(record: ChainedRecord) -> Checkpoint:
    return Checkpoint.sign(KEY, log=LOG, seq=record.seq, digest=record.hash, at=0)


def verify(records: Sequence[ChainedRecord], held: Sequence[Checkpoint]) -> Verdict:
    verifier = ChainVerifier(LOG, [(one, "the relay") for one in held])
    for record in records:
        verifier.take_line(record.line())
    return verifier.finish()


@pytest.mark.parametrize("length", [8, 20], ids=["before the checkpoint", "beyond the checkpoint"])
def test_restored_log_is_whole_again_once_its_loss_was_accepted(length: int) -> None:
    lost = checkpoint(chain(15)[-1])
    refused = verify(chain(length, fork=6), [lost])
    assert refused.fault is not None
    verdict = verify(chain(length, fork=6, accepts=[lost]), [lost])
    assert verdict.fault is None
    (accepted,) = verdict.accepted
    assert accepted.document() == {
        "record": 6,
        "time": "2026-11-26T12:00:00.000Z",
        "actor": "administrator",
        "reason": "the disk failed",
        "checkpoints": [{"log": LOG, "seq": 15, "hash": lost.hash}],
    }


def test_acceptance_covers_the_checkpoints_it_names_and_no_other() -> None:
    lost, other = checkpoint(chain(15)[-1]), checkpoint(chain(12)[-1])
    verdict = verify(chain(20, fork=6, accepts=[lost]), [lost, other])
    assert verdict.fault is not None
    assert (verdict.fault.seq, "1 to 12" in verdict.fault.reason) == (1, True)


def test_acceptance_hides_no_record_that_was_changed() -> None:
    lost = checkpoint(chain(15)[-1])
    records = chain(20, fork=6, accepts=[lost])
    changed = ChainedRecord(
        seq=10, data=records[10].data, prev=records[9].prev, hash=records[9].hash
    )
    verifier = ChainVerifier(LOG, [(lost, "the relay")])
    for record in [*records[:9], changed, *records[10:]]:
        verifier.take(record, record.fields())
    fault = verifier.finish().fault
    assert fault is not None
    assert fault.seq == 10


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "call", "detail": {"checkpoints": []}},
        {"action": ACCEPTED},
        {"action": ACCEPTED, "detail": "text"},
    ],
)
def test_other_records_accept_nothing(fields: Mapping[str, object]) -> None:
    assert accepted_in(fields) is None


@pytest.mark.parametrize("listed", ["text", [1], [{"log": LOG, "seq": "15", "hash": ""}], []])
def test_acceptance_of_nothing_that_is_a_checkpoint_covers_none(listed: object) -> None:
    accepted = accepted_in({"action": ACCEPTED, "seq": "x", "detail": {"checkpoints": listed}})
    assert accepted is not None
    assert (accepted.record, accepted.checkpoints) == (0, frozenset())
