"""Each way to tamper with a log, and the number of the first record that it shows at."""

from collections.abc import Sequence

import pytest

from cloud_connect.audit import (
    CUT,
    ChainedRecord,
    ChainVerifier,
    Checkpoint,
    Verdict,
    canonical,
    chained,
    genesis,
)
from cloud_connect.signing import SigningKey

KEY = SigningKey.generate()
LOG = "log"


def chain(count: int, *, cut_at: int | None = None, up_to: object = 0) -> list[ChainedRecord]:
    """Records 1 to *count*; number *cut_at* says that those before were deleted."""
    records: list[ChainedRecord] = []
    prev = genesis(LOG)
    for seq in range(1, count + 1):
        fields: dict[str, object] = {"seq": seq, "action": "call"}
        if seq == cut_at:
            fields |= {"action": CUT, "detail": {"up_to": up_to}}
        records.append(chained(seq, canonical(fields), prev))
        prev = records[-1].hash
    return records


def checkpoint(record: ChainedRecord, key: SigningKey = KEY, log: str = LOG) -> Checkpoint:
    return Checkpoint.sign(key, log=log, seq=record.seq, digest=record.hash, at=0)


def verify(
    records: Sequence[ChainedRecord],
    own: Sequence[Checkpoint] = (),
    held: Sequence[Checkpoint] = (),
) -> Verdict:
    verifier = ChainVerifier(
        LOG, [*((one, "this PC") for one in own), *((one, "the relay") for one in held)]
    )
    for record in records:
        verifier.take_line(record.line())
    return verifier.finish()


def bad(verdict: Verdict) -> int | None:
    return None if verdict.fault is None else verdict.fault.seq


def test_whole_log_is_found_whole() -> None:
    records = chain(10)
    verdict = verify(records, [checkpoint(records[6])])
    assert verdict.document() == {
        "ok": True,
        "records": 10,
        "first_seq": 1,
        "last_seq": 10,
        "signed_seq": 7,
        "first_bad_seq": None,
        "reason": None,
        "accepted": [],
    }


def test_empty_log_is_whole_unless_somebody_holds_more() -> None:
    assert verify([]).last is None
    assert bad(verify([])) is None
    assert bad(verify([], held=[checkpoint(chain(3)[2])])) == 1


def test_changed_record_shows_by_its_hash() -> None:
    records = chain(10)
    forged = canonical({"seq": 4, "action": "read"})
    records[3] = ChainedRecord(4, forged, records[3].prev, records[3].hash)
    verdict = verify(records)
    assert bad(verdict) == 4
    assert verdict.document()["ok"] is False


def test_record_with_a_hash_of_its_own_shows_at_the_next() -> None:
    records = chain(10)
    records[3] = chained(4, canonical({"seq": 4, "action": "read"}), records[3].prev)
    assert bad(verify(records)) == 5


def test_deleted_record_is_named() -> None:
    records = chain(10)
    del records[5]
    assert bad(verify(records)) == 6


def test_records_in_another_order_show_at_the_first() -> None:
    records = chain(10)
    records[2], records[3] = records[3], records[2]
    assert bad(verify(records)) == 3


def test_cut_end_shows_by_a_checkpoint_of_its_own_or_of_another() -> None:
    records = chain(10)
    signed = checkpoint(records[9])
    assert bad(verify(records[:7], [signed])) == 8
    verdict = verify(records[:7], held=[signed])
    assert bad(verdict) == 8
    assert verdict.fault is not None
    assert "the relay holds" in verdict.fault.reason


def test_log_written_anew_shows_behind_the_last_checkpoint_that_fits() -> None:
    records = chain(6)
    anew = [*records[:3]]
    for seq in range(4, 7):
        anew.append(chained(seq, canonical({"seq": seq, "action": "x"}), anew[-1].hash))
    held = [checkpoint(records[2]), checkpoint(records[5])]
    assert bad(verify(anew, held=held)) == 4


def test_forged_checkpoint_is_a_fault_where_it_stands() -> None:
    records = chain(6)
    forged = checkpoint(records[3]).model_copy(update={"time": 5})
    assert bad(verify(records, [forged])) == 4
    assert bad(verify(records, [checkpoint(records[3], log="other")])) == 4


def test_forged_checkpoint_of_what_is_not_there_proves_nothing() -> None:
    records = chain(6)
    forged = checkpoint(records[5]).model_copy(update={"time": 5})
    assert bad(verify(records[:4], held=[forged])) is None


def test_log_of_another_name_does_not_begin_here() -> None:
    first = chained(1, canonical({"seq": 1}), genesis("other"))
    assert bad(verify([first])) == 1


def test_records_cut_for_their_age_are_not_missed() -> None:
    records = chain(10, cut_at=9, up_to=4)
    verdict = verify(records[4:], [checkpoint(records[3])])
    assert bad(verdict) is None
    assert (verdict.first, verdict.signed) == (5, 4)


def test_records_cut_behind_no_checkpoint_are_missed() -> None:
    records = chain(10, cut_at=9, up_to=4)
    assert bad(verify(records[4:])) == 1
    stranger = checkpoint(records[3]).model_copy(update={"hash": "00" * 32})
    assert bad(verify(records[4:], [stranger])) == 1


@pytest.mark.parametrize("up_to", [3, "4", None])
def test_records_that_no_record_says_were_cut_are_missed(up_to: object) -> None:
    records = chain(10, cut_at=9, up_to=up_to)
    first_lost = 4 if up_to == 3 else 1
    assert bad(verify(records[4:], [checkpoint(records[3])])) == first_lost


def test_line_that_is_no_record_is_named() -> None:
    verifier = ChainVerifier(LOG)
    records = chain(2)
    assert verifier.take_line(records[0].line()) == records[0]
    assert verifier.take_line(b"rubbish") is None
    assert verifier.faulty
    verifier.take(records[1], records[1].fields())  # nothing behind a fault counts
    assert bad(verifier.finish()) == 2
    assert verifier.finish().records == 1


def test_number_of_a_broken_record_may_be_known() -> None:
    verifier = ChainVerifier(LOG)
    verifier.broken(151)
    assert bad(verifier.finish()) == 151
