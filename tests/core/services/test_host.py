import os

import pytest

from cloud_connect.errors import CloudConnectError
from cloud_connect.services import host as host_module
from cloud_connect.services.host import LocalHost, Ran


def test_accounts_of_this_machine_have_numbers() -> None:
    root = LocalHost().account("root")
    assert root is not None
    assert (root.uid, root.gid) == (0, 0)
    assert LocalHost().account("nobody-of-that-name") is None
    assert LocalHost().is_administrator == (os.geteuid() == 0)


def test_where_accounts_have_no_numbers_none_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert LocalHost().account("root") is None
    assert not LocalHost().is_administrator


def test_programs_are_run_with_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_CONNECT_PROXY__PASSWORD", "made-up")
    here = LocalHost()
    assert here.has("env")
    assert not here.has("no-such-program-here")
    ran = here.run("env")
    assert ran.status == 0
    assert sorted(line.split("=")[0] for line in ran.output.split()) == [
        "LANG",
        "PATH",
        "SYSTEMD_COLORS",
    ]
    assert here.run("cat", stdin=b"\xffx").output == "\ufffdx"


def test_a_program_that_fails_complains_with_its_last_line() -> None:
    ran = LocalHost().run("sh", "-c", "echo first >&2; echo why >&2; exit 3")
    assert (ran.status, ran.complaint) == (3, "why")
    assert Ran(status=3).complaint == "it ended with status 3"
    assert Ran(status=3, output="said\n").complaint == "said"


def test_a_program_that_is_missing_or_never_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CloudConnectError, match="no-such-program is not installed"):
        LocalHost().run("no-such-program")
    monkeypatch.setattr(host_module, "_SECONDS", 0.1)
    with pytest.raises(CloudConnectError, match="`sleep 60` has not ended"):
        LocalHost().run("sleep", "60")
