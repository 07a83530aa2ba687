"""The units that systemd runs: it understands them, and they give a process little to abuse."""

import re
import subprocess
from pathlib import Path

import pytest

from cloud_connect_agent.hosting.service import ServiceWish
from cloud_connect_agent.hosting.systemd_service import systemd_service
from cloud_connect_relay.hosting.service import RelayWish, relay_service
from doubles.service_machine import FolderMachine, program_in
from doubles.tools import tool

UNITS = Path(__file__).parent.parent / "service" / "systemd"
HOSTED = "cloud-connect-hosted@.service"
DELIVERED = (HOSTED, "cloud-connect.service", "cloud-connect-relay.service")
INSTALLED = (
    "agent",
    "agent with a sealed vault",
    "agent in a folder of its own",
    "hosted",
    "relay",
)
NAMES = (*DELIVERED, *INSTALLED)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("systemd-analyze"), *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def unit_file(folder: Path, name: str) -> Path:
    """Return one that is delivered, or what an installation would write."""
    if name in DELIVERED:
        return UNITS / name
    machine = FolderMachine(root=folder / "root")
    program = program_in(folder / "opt", "cloud-connect")
    seal = "yes" if "sealed" in name else "no"
    home = Path("/srv/cloud/agent") if "own" in name else None
    if name == "relay":
        service = relay_service(RelayWish(), host=machine, program=program)
    else:
        hosted = "builders" if name == "hosted" else None
        wish = ServiceWish(
            home=home,
            seal_vault="yes" if seal == "yes" else "no",
            instance=hosted,
            hosted=hosted is not None,
        )
        service = systemd_service(wish, host=machine, program=program)
    (text,) = (
        step.content
        for step in service.installation().steps
        if step.content is not None and step.sentence.endswith(f"{service.name}.service")
    )
    file = folder / f"{service.name}.service"
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", NAMES)
def test_unit_is_valid(tmp_path: Path, name: str) -> None:
    # The program is not installed on the machine of the test.
    found = unit_file(tmp_path, name)
    text = re.sub(r"(?<=^ExecStart=)/\S+", "/bin/true", found.read_text(), flags=re.MULTILINE)
    text = re.sub(r"(?<=^ExecReload=)/\S+", "/bin/true", text, flags=re.MULTILINE)
    (tmp_path / "units").mkdir()
    unit = tmp_path / "units" / found.name.replace("@", "@sub_4k2m0c9v8b7n6x5z")
    unit.write_text(text)
    checked = analyze("verify", "--man=no", str(unit))
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.catalogue("T128")
@pytest.mark.parametrize("name", NAMES)
def test_unit_leaves_its_process_little_to_abuse(tmp_path: Path, name: str) -> None:
    unit = unit_file(tmp_path, name)
    checked = analyze("security", "--offline=yes", "--threshold=15", str(unit))
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", NAMES)
def test_unit_keeps_what_weakens_tls_or_python_out_of_its_process(
    tmp_path: Path, name: str
) -> None:
    text = unit_file(tmp_path, name).read_text()
    (line,) = re.findall(r"^UnsetEnvironment=(.+)$", text, flags=re.MULTILINE)
    assert {"SSLKEYLOGFILE", "SSL_CERT_FILE", "OPENSSL_CONF", "PYTHONPATH"} <= set(line.split())


@pytest.mark.parametrize("name", NAMES)
def test_unit_is_restarted_when_its_event_loop_hangs(tmp_path: Path, name: str) -> None:
    text = unit_file(tmp_path, name).read_text()
    for setting in ("Type=notify", "WatchdogSec=60", "Restart=always"):
        assert f"\n{setting}\n" in text


def test_each_subscription_has_an_account_and_a_folder_of_its_own() -> None:
    lines = (UNITS / HOSTED).read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line and line[0] not in "#[")
    for name in ("User", "Group", "StateDirectory"):
        assert "%i" in settings[name], name
    assert "--home /var/lib/cloud-connect-hosted/%i run" in settings["ExecStart"]
