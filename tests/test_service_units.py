"""The units that systemd runs: it understands them, and they give a process little to abuse."""

import subprocess
from pathlib import Path

from doubles.tools import tool

UNITS = Path(__file__).parent.parent / "service" / "systemd"
HOSTED = "cloud-connect-hosted@.service"


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("systemd-analyze"), *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_hosted_unit_is_valid_for_a_subscription(tmp_path: Path) -> None:
    text = (UNITS / HOSTED).read_text()
    # The program is not installed on the machine of the test.
    text = text.replace("/opt/cloud-connect/bin/cloud-connect --home", "/bin/true --home")
    unit = tmp_path / HOSTED.replace("@", "@sub_4k2m0c9v8b7n6x5z")
    unit.write_text(text)
    checked = analyze("verify", "--man=no", str(unit))
    assert (checked.returncode, checked.stderr) == (0, "")


def test_hosted_unit_leaves_its_process_little_to_abuse() -> None:
    checked = analyze("security", "--offline=yes", "--threshold=20", str(UNITS / HOSTED))
    assert checked.returncode == 0, checked.stdout


def test_each_subscription_has_an_account_and_a_folder_of_its_own() -> None:
    lines = (UNITS / HOSTED).read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and line[0] not in "#[")
    for name in ("User", "Group", "StateDirectory"):
        assert "%i" in settings[name], name
    assert "--home /var/lib/cloud-connect-hosted/%i run" in settings["ExecStart"]
