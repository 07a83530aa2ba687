from pathlib import Path
from typing import Any

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_relay.paths import RelayPaths, default_data_dir
from cloud_connect_relay.settings import RelaySettings
from cloud_connect_relay.settings_sources import load_settings


def load(folder: Path, *, environ: dict[str, str] | None = None, **flags: Any) -> RelaySettings:
    return load_settings(RelayPaths(data_dir=folder), environ=environ or {}, flags=flags)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text("port = 1\ntunnel_port = 1\nnode = 'file'\n")
    environ = {"CLOUD_CONNECT_RELAY_PORT": "2", "CLOUD_CONNECT_RELAY_TUNNEL_PORT": "2"}
    settings = load(tmp_path, environ=environ, port=3, node=None)
    assert (settings.port, settings.tunnel_port, settings.node) == (3, 2, "file")
    assert settings.host == "127.0.0.1"


def test_sections_are_merged_setting_by_setting(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text("[calls]\ndefault_deadline = 7\nmax_running = 7\n")
    environ = {
        "CLOUD_CONNECT_RELAY_CALLS__MAX_RUNNING": "9",
        "CLOUD_CONNECT_RELAY_LOG__LEVEL": "debug",
        "CLOUD_CONNECT_RELAY_API__TRUSTED_PROXIES": '["10.0.0.1", "10.0.0.2"]',
    }
    settings = load(tmp_path, environ=environ)
    assert (settings.calls.default_deadline, settings.calls.max_running) == (7, 9)
    assert settings.log.level == "debug"
    assert settings.api.trusted_proxies == ("10.0.0.1", "10.0.0.2")


def test_variables_of_others_and_empty_ones_are_not_ours(tmp_path: Path) -> None:
    environ = {
        "CLOUD_CONNECT_RELAY_DATA_DIR": "/elsewhere",
        "CLOUD_CONNECT_RELAY__URL": "https://of-the-agent.example",
        "CLOUD_CONNECT_RELAY_": "x",
        "CLOUD_CONNECT_RELAY_NODE": "",
        "CLOUD_CONNECT_HOME": "/elsewhere",
    }
    assert load(tmp_path, environ=environ).data_dir == tmp_path


@pytest.mark.parametrize(
    ("environ", "flags", "named"),
    [
        ({"CLOUD_CONNECT_RELAY_PROT": "1"}, {}, "CLOUD_CONNECT_RELAY_PROT"),
        ({"CLOUD_CONNECT_RELAY_CALLS__X": "1"}, {}, "CLOUD_CONNECT_RELAY_CALLS__X"),
        ({"CLOUD_CONNECT_RELAY_PORT": "many"}, {}, "setting port"),
        ({"CLOUD_CONNECT_RELAY_CALLS": "1"}, {}, "setting calls"),
        ({"CLOUD_CONNECT_RELAY_API__TRUSTED_PROXIES": "[x"}, {}, r"api\.trusted_proxies"),
        ({}, {"port": -1}, "setting port"),
        ({}, {"public_url": "https://u:secret@x.example"}, "setting public_url"),
        ({}, {"public_url": "https://x.example/?a=secret"}, "setting public_url"),
        ({}, {"public_url": "ftp://x.example"}, "setting public_url"),
    ],
)
def test_wrong_setting_is_named_and_its_value_is_not(
    tmp_path: Path, environ: dict[str, str], flags: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named) as wrong:
        load(tmp_path, environ=environ, **flags)
    assert "secret" not in wrong.value.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("port = ", "not valid TOML"),
        ("data_dir = '/x'", "--data-dir"),
        ("[calls]\nmax = 1", "calls.max"),
        ("[calls]\nretention = 3600", "calls.retention"),  # keys are bound for a day
    ],
)
def test_wrong_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "relay.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_unreadable_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "relay.toml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path)


def test_database_is_a_file_of_the_data_folder_unless_said_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path).database == f"sqlite+aiosqlite:///{tmp_path}/relay.sqlite3"
    elsewhere = load(tmp_path, database_url="postgresql+asyncpg://u:secret@db/name")
    assert elsewhere.database == "postgresql+asyncpg://u:secret@db/name"
    assert "secret" not in repr(elsewhere)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "[::1]", "localhost", "LOCALHOST", "127.9.9.9"]
)
def test_loopback_needs_no_tls(tmp_path: Path, host: str) -> None:
    assert not load(tmp_path, host=host).secure


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "relay.example.com", "10.0.0.1"])
def test_other_addresses_need_tls_or_a_proxy_that_ends_it(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match="TLS"):
        load(tmp_path, host=host)
    assert load(tmp_path, host=host, public_url="https://relay.example.com").host == host
    assert load(tmp_path, host=host, tls_cert="c.pem", tls_key="k.pem").secure


def test_data_folder_has_a_place_of_its_own() -> None:
    assert default_data_dir().name == "cloud-connect-relay"


def test_folder_that_is_no_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError, match="--data-dir"):
            RelayPaths(data_dir=folder).prepare()


def test_folder_that_is_not_writable_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigurationError, match="not writable"):
        RelayPaths(data_dir=tmp_path).prepare()


def test_secret_is_never_written_over_another(tmp_path: Path) -> None:
    paths = RelayPaths(data_dir=tmp_path)
    (tmp_path / "relay.key.new").write_bytes(b"left over")
    paths.write_secret(paths.key_file, b"first")
    with pytest.raises(FileExistsError):
        paths.write_secret(paths.key_file, b"second")
    assert paths.key_file.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["relay.key"]
