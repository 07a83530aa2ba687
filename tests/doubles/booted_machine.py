"""A Debian of its own that systemd has booted, with the wheel installed, to try units for real."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from doubles.control_groups import make_groups, remove_groups
from doubles.debian import carried_out, make_debian
from doubles.tools import tool

__all__ = ["BootedMachine", "booted_machine"]

ROOT: Final = Path(__file__).parent.parent.parent
PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "ca-certificates"),
    "iproute2",
)
ENTER: Final = ("-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w")  # all namespaces, root, folder
BOOT_SECONDS: Final = 60.0
WANTS_REBOOT: Final = 133  # what systemd-nspawn says then with --keep-unit


@dataclass(frozen=True, kw_only=True)
class BootedMachine:
    """What runs in it, and its files.

    Attributes:
        root: Its file system, as this machine sees it.
        init: The number of its systemd, as this machine counts.
        container: What holds it.
    """

    root: Path
    init: int
    container: "Container"

    def run(self, *words: str, stdin: str = "", check: bool = True) -> str:
        """Run a command in it as root; return what it printed.

        Raises:
            AssertionError: If it failed.
        """
        ran = subprocess.run(
            [
                *(tool("nsenter"), "-t", str(self.init), *ENTER),
                *("/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"),
                *words,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or ran.returncode == 0, f"{words}: {ran.stderr or ran.stdout}"
        return ran.stdout

    def told(self, *words: str, stdin: str = "") -> dict[str, Any]:
        """Run a command of ours with ``--json``."""
        found: dict[str, Any] = json.loads(self.run(*words, "--json", stdin=stdin))
        return found

    def until(self, *words: str, says: str, within: float = 30.0) -> None:
        """Wait until a command prints a text."""
        until = time.monotonic() + within
        while says not in (said := self.run(*words, check=False)):
            assert time.monotonic() < until, f"{words}: {said}"
            time.sleep(0.2)

    def rebooted(self) -> "BootedMachine":
        """Restart the whole machine; return it as it is then."""
        self.run("systemctl", "--no-block", "reboot")
        assert self.container.wait() == WANTS_REBOOT
        return replace(self, init=self.container.start()).up()

    def up(self) -> "BootedMachine":
        """Wait until it has started, and give it its loopback network."""
        self.until("systemctl", "is-system-running", "--wait", says="running", within=BOOT_SECONDS)
        self.run("ip", "link", "set", "lo", "up")
        return self


class Container:
    """The process that holds a machine; it ends when the machine goes down, to be started again.

    Attributes:
        name: Of the machine, and of its control groups.
    """

    def __init__(self, root: Path) -> None:
        self.name: Final = f"test-{time.time_ns()}"
        words = [tool("systemd-nspawn"), "-q", "-D", str(root), "-b", "--register=no"]
        words += ["--keep-unit", "--private-network", "--console=pipe", "-M", self.name]
        self._groups: Final = make_groups(self.name)
        joining = "".join(f"echo $$ > {group}/cgroup.procs; " for group in self._groups)
        self._words: Final = ["sh", "-ec", f'{joining}exec "$@"', "sh", *words]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Boot the machine; return its first process."""
        self._process = subprocess.Popen(
            self._words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        return self.init()

    def init(self) -> int:
        """Return the machine's first process."""
        assert self._process is not None
        return _init_of(self._process.pid)

    def wait(self) -> int:
        """Wait until the machine is down."""
        assert self._process is not None
        return self._process.wait(BOOT_SECONDS)

    def end(self) -> None:
        """End all that runs in it: without its init, nothing else does."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(OSError, AssertionError):
                os.kill(self.init(), signal.SIGKILL)
            self._process.kill()
            self._process.wait(10)
        remove_groups(self._groups)


@contextmanager
def booted_machine(folder: Path) -> Iterator[BootedMachine]:
    """Make the machine in *folder* and boot it; its network is a loopback of its own."""
    root = folder / "root"
    make_debian(root, *PACKAGES)
    wheels = root / "wheels"
    pip = (sys.executable, "-m", "pip", "-q")
    carried_out(*pip, "wheel", "--no-deps", "-w", wheels, ROOT)
    carried_out(
        *pip, "download", "--require-hashes", "-r", ROOT / "requirements.lock", "-d", wheels
    )
    carried_out(tool("chroot"), root, "python3", "-m", "venv", "/opt/cloud-connect")
    install = "/opt/cloud-connect/bin/pip install -q --no-index --find-links /wheels"
    packages = "cloud-connect[relay,simulator]"
    carried_out(tool("chroot"), root, *install.split(), packages)
    shutil.copytree(ROOT / "service" / "systemd", root / "etc/systemd/system", dirs_exist_ok=True)
    container = Container(root)
    try:
        machine = BootedMachine(root=root, init=container.start(), container=container)
        yield machine.up()
        replace(machine, init=container.init()).run("systemctl", "poweroff", check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            container.wait()
    finally:
        container.end()


def _init_of(container: int) -> int:
    """Return the process that is the first one inside, once it is the machine's systemd.

    What the container makes before that, to prepare the machine, is a child of its own, too.
    """
    until = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < until:
        for child in Path(f"/proc/{container}/task/{container}/children").read_text().split():
            with contextlib.suppress(OSError):  # it has ended
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        time.sleep(0.1)
    raise AssertionError("the container has no first process")
