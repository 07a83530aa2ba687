"""What is wrong with settings is told with its place, and with what may have been meant."""

from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.settings import judge_settings, load_settings, read_sources
from cloud_connect_agent.settings_faults import SettingsFault


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.toml"


def faults(file: Path, **environ: str) -> list[SettingsFault]:
    settings, found = judge_settings(read_sources(file, environ=environ))
    assert (settings is None) == bool(found)
    return found


def test_nothing_is_wrong_with_nothing(file: Path) -> None:
    assert faults(file) == []


def test_all_that_is_wrong_is_told_and_unknown_names_come_first(file: Path) -> None:
    file.write_text('[log]\nlevel = "loud"\nfiles = 0\nlevle = "info"\n')
    found = [(fault.setting, fault.origin.line, fault.meant) for fault in faults(file)]
    assert found == [("log.levle", 4, "level"), ("log.level", 2, None), ("log.files", 3, None)]


def test_a_sentence_names_the_line_and_what_was_meant(file: Path) -> None:
    file.write_text("[tunnel]\nbackof_cap = 3\n")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file)
    assert caught.value.message == (
        "There is no setting tunnel.backof_cap in agent.toml (line 2); did you mean “backoff_cap”?"
    )


def test_a_variable_is_told_by_its_name_and_what_was_meant_as_one(file: Path) -> None:
    (fault,) = faults(file, CLOUD_CONNECT_LOG__LVEL="info")
    assert fault.sentence == (
        "There is no setting CLOUD_CONNECT_LOG__LVEL; did you mean “CLOUD_CONNECT_LOG__LEVEL”?"
    )
    (fault,) = faults(file, CLOUD_CONNECT_LOG__LEVEL="loud")
    assert fault.sentence.startswith("The setting CLOUD_CONNECT_LOG__LEVEL is wrong: ")


def test_a_setting_in_the_wrong_section_is_told_where_it_belongs(file: Path) -> None:
    file.write_text("backoff_cap = 3\n")
    (fault,) = faults(file)
    assert fault.meant == "tunnel.backoff_cap"


def test_settings_below_names_that_people_give_are_known_too(file: Path) -> None:
    file.write_text(
        "[procore.environments.live]\napi_ulr = 1\n"
        "[procore.environments.live.accounts.acme]\nlogn = 'a'\n"
    )
    found = {fault.setting: fault.meant for fault in faults(file)}
    assert found == {
        "procore.environments.live.api_ulr": "api_url",
        "procore.environments.live.accounts.acme.logn": "login",
    }


def test_nothing_is_guessed_where_nothing_is_close(file: Path) -> None:
    file.write_text("[log]\nzzz = 1\n")
    (fault,) = faults(file)
    assert fault.meant is None
    assert fault.sentence.endswith("; remove it.")


def test_a_wrong_item_has_the_line_of_its_list(file: Path) -> None:
    file.write_text('\n\n[procore.environments.live]\nstorage_hosts = ["*"]\n')
    (fault,) = faults(file)
    assert (fault.origin.place, fault.origin.line) == ("agent.toml", 4)


def test_the_source_of_each_value_is_known(file: Path) -> None:
    file.write_text("name = 'pc'\n[log]\nlevel = 'error'\nfiles = 2\n")
    sources = read_sources(
        file,
        environ={"CLOUD_CONNECT_LOG__LEVEL": "info", "CREDENTIALS_DIRECTORY": "/run/x"},
        flags={"log": {"files": 3}},
    )
    words = {
        name: sources.origin(name.split(".")).words
        for name in ("name", "log.level", "log.files", "log.keep_days", "vault.credentials_dir")
    }
    assert words == {
        "name": "agent.toml, line 1",
        "log.level": "CLOUD_CONNECT_LOG__LEVEL",
        "log.files": "flag",
        "log.keep_days": "default",
        "vault.credentials_dir": "CREDENTIALS_DIRECTORY",
    }
