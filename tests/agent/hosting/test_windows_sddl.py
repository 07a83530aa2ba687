import pytest

from cloud_connect_agent.hosting.windows_access import (
    ADMINISTRATORS,
    SYSTEM,
    changers,
    key_access,
    services_in,
    strangers,
)
from cloud_connect_agent.hosting.windows_sddl import FULL, MODIFY, READ, AccessList, Entry

SERVICE = "S-1-5-80-1-2-3-4-5"
USER = "S-1-5-21-1-2-3-1001"


@pytest.mark.parametrize(
    "text",
    [
        "O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;S-1-5-80-1-2-3-4-5)",
        "D:(D;;FA;;;NU)(A;;0x12019b;;;BA)",
        "O:S-1-5-21-1-2-3-1001D:PAI",
    ],
)
def test_a_list_reads_back_as_it_was_written(text: str) -> None:
    assert AccessList.of(text).text == text


def test_what_windows_prints_means_the_same_as_what_was_set() -> None:
    wanted = AccessList.of("O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)")
    printed = "O:S-1-5-32-544G:SYD:PAI(A;OICIID;FA;;;BA)(A;OICI;0x1f01ff;;;S-1-5-18)S:AI"
    assert AccessList.of(printed).same_as(wanted)


@pytest.mark.parametrize(
    "text",
    [
        "O:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)",
        "O:BAD:AI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)",
        "O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;;FR;;;WD)",
        "O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FR;;;BA)",
        "O:BAD:PAI(A;OICI;FA;;;SY)(D;OICI;FA;;;BA)",
    ],
)
def test_another_owner_entry_or_inheritance_is_another_list(text: str) -> None:
    wanted = AccessList.of("O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)")
    assert not AccessList.of(text).same_as(wanted)


def test_a_list_that_is_not_there_lets_everybody_in() -> None:
    for text in ("O:BAD:NO_ACCESS_CONTROL", "O:BA"):
        assert AccessList.of(text).trustees(changing=True) == {"S-1-1-0"}
    assert not AccessList.of("D:NO_ACCESS_CONTROL").protected


@pytest.mark.parametrize("text", ["nonsense", "D:(A;;FA;;;SY", "O:lowerD:"])
def test_what_is_no_list_is_not_guessed_at(text: str) -> None:
    with pytest.raises(ValueError, match="no access list"):
        AccessList.of(text)


def test_short_names_of_rights_add_up() -> None:
    (entry,) = AccessList.of("D:(A;;FRFX;;;BU)").entries
    assert entry.rights == READ
    assert not entry.changes
    assert Entry(rights=MODIFY, trustee=USER).changes
    assert not Entry(kind="D", rights=FULL, trustee=USER).changes


def test_a_right_that_nobody_knows_is_taken_for_the_worst() -> None:
    (entry,) = AccessList.of("D:(A;;QQ;;;BU)").entries
    assert entry.rights == FULL


def test_strangers_are_all_but_the_system_administrators_services_and_oneself() -> None:
    found = AccessList.of(
        f"D:(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;{SERVICE})(A;;FA;;;{USER})(A;OICIIO;FA;;;CO)"
        "(A;;FR;;;BU)(D;;FA;;;WD)"
    )
    assert strangers(found, own=USER) == {"S-1-5-32-545"}
    assert strangers(found, own=SYSTEM) == {"S-1-5-32-545", USER}
    assert services_in(found) == {SERVICE}


def test_who_only_reads_a_program_does_not_change_it() -> None:
    read_only = AccessList.of("O:BAD:(A;;FA;;;SY)(A;;0x1200a9;;;BU)")
    assert not changers(read_only, own=SYSTEM)
    appended = AccessList.of("O:BAD:(A;;FA;;;SY)(A;;0x1200ad;;;BU)")
    assert changers(appended, own=SYSTEM) == {"S-1-5-32-545"}
    assert not changers(AccessList.of(f"O:BAD:(A;;FA;;;{USER})"), own=USER)


def test_the_vaults_key_is_for_the_folders_service_too_and_inherits_nothing() -> None:
    access = key_access(USER, SERVICE, SYSTEM)
    assert access.text == (
        f"D:PAI(A;;FA;;;SY)(A;;FA;;;BA)(A;;0x1301bf;;;{USER})(A;;0x1301bf;;;{SERVICE})"
    )
    assert key_access(ADMINISTRATORS).text == "D:PAI(A;;FA;;;SY)(A;;FA;;;BA)"
