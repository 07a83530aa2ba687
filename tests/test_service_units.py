"""The units that systemd runs: it understands them, and they give a process little to abuse."""

import re
import subprocess
from pathlib import Path

import pytest

from doubles.tools import tool

UNITS = Path(__file__).parent.parent / "service" / "systemd"
HOSTED = "cloud-connect-hosted@.service"
NAMES = (HOSTED, "cloud-connect.service", "cloud-connect-relay.service")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("systemd-analyze"), *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
def test_unit_is_valid(tmp_path: Path, name: str) -> None:
    # The program is not installed on the machine of the test.
    text = re.sub(
        r"(?<=^ExecStart=)/opt/\S+", "/bin/true", (UNITS / name).read_text(), flags=re.MULTILINE
    )
    unit = tmp_path / name.replace("@", "@sub_4k2m0c9v8b7n6x5z")
    unit.write_text(text)
    checked = analyze("verify", "--man=no", str(unit))
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.catalogue("T128")
@pytest.mark.parametrize("name", NAMES)
def test_unit_leaves_its_process_little_to_abuse(name: str) -> None:
    checked = analyze("security", "--offline=yes", "--threshold=20", str(UNITS / name))
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", NAMES)
def test_unit_keeps_what_weakens_tls_or_python_out_of_its_process(name: str) -> None:
    (line,) = re.findall(r"^UnsetEnvironment=(.+)$", (UNITS / name).read_text(), flags=re.MULTILINE)
    assert {"SSLKEYLOGFILE", "SSL_CERT_FILE", "OPENSSL_CONF", "PYTHONPATH"} <= set(line.split())


def test_each_subscription_has_an_account_and_a_folder_of_its_own() -> None:
    lines = (UNITS / HOSTED).read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and line[0] not in "#[")
    for name in ("User", "Group", "StateDirectory"):
        assert "%i" in settings[name], name
    assert "--home /var/lib/cloud-connect-hosted/%i run" in settings["ExecStart"]
