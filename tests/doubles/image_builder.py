"""The images of the Dockerfile, built with buildah on a Debian of the test's own, and run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from doubles.debian import carried_out, make_debian
from doubles.tools import tool
from doubles.waiting import until_seen

__all__ = ["Container", "Images", "Started", "build_images"]

ROOT: Final = Path(__file__).parent.parent.parent
FILES: Final = ROOT / "service" / "container"
PROGRAMS: Final = "/opt/cloud-connect/bin/"
BASE: Final = "localhost/python:test"
PACKAGES: Final = ("python3", "python3-venv", "python-is-python3", "ca-certificates")
# Its own system of files and accounts, but this machine's network: what runs here needs no runtime.
ISOLATION: Final = ("--isolation", "chroot")


@dataclass(frozen=True, kw_only=True)
class Started:
    """A program that runs in a container."""

    process: subprocess.Popen[str]

    def line(self) -> dict[str, Any]:
        """Return its next line of JSON."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def stop(self) -> int:
        """Stop it as the image says, and return its exit status."""
        os.kill(_innermost(self.process.pid), signal.SIGTERM)
        return self.process.wait(60)


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of an image.

    Attributes:
        config: What the image says about how to run it.
    """

    images: "Images"
    name: str
    config: dict[str, Any]

    def run(self, *words: str, stdin: str = "", status: int = 0) -> str:
        """Run the image's program with other words; return what it printed."""
        return self.command(*self.config["Entrypoint"], *words, stdin=stdin, status=status)

    def command(self, *words: str, stdin: str = "", status: int = 0) -> str:
        """Run any command in it."""
        ran = subprocess.run(
            [*self.images.buildah, "run", *ISOLATION, self.name, "--", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == status, f"{words}: {ran.stderr or ran.stdout}"
        return ran.stdout

    @contextmanager
    def started(self, *words: str) -> Iterator[Started]:
        """Run the image's program until the block ends."""
        with subprocess.Popen(
            [
                *(*self.images.buildah, "run", *ISOLATION, self.name, "--"),
                *(*self.config["Entrypoint"], *words),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                yield Started(process=process)
            finally:
                if process.poll() is None:
                    os.kill(_innermost(process.pid), signal.SIGKILL)
                    process.wait(30)


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images and containers in a folder of the test's own.

    Attributes:
        buildah: The program, with where it keeps everything.
    """

    buildah: tuple[str, ...]

    @contextmanager
    def container(self, target: str) -> Iterator[Container]:
        """Make a container of one image."""
        name = carried_out(*self.buildah, "from", f"localhost/{target}:test").strip()
        told = carried_out(*self.buildah, "inspect", "--type", "image", f"localhost/{target}:test")
        try:
            yield Container(images=self, name=name, config=json.loads(told)["Docker"]["config"])
        finally:
            carried_out(*self.buildah, "rm", name)


@contextmanager
def build_images(folder: Path) -> Iterator[Images]:
    """Build both, from packages that are fetched here: the builds themselves ask nobody."""
    where = ("--root", str(folder / "store"), "--runroot", str(folder / "run"))
    buildah = (tool("buildah"), *where)
    root = folder / "root"
    make_debian(root, *PACKAGES)
    _fetch_packages(root / "wheels")
    (root / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    try:
        base = carried_out(*buildah, "from", "scratch").strip()
        carried_out(*buildah, "add", "-q", base, root, "/")
        carried_out(*buildah, "commit", "-q", "--rm", base, BASE)
        for target in ("relay", "agent"):
            carried_out(
                *(*buildah, "build", "-q", "--format", "docker", "--layers", *ISOLATION),
                *("--network", "host", "--build-arg", f"PYTHON_IMAGE={BASE}"),
                *("-f", FILES / "Dockerfile", "--target", target, "-t", f"localhost/{target}:test"),
                ".",
                folder=ROOT,
            )
        yield Images(buildah=buildah)
    finally:
        carried_out(*buildah, "rm", "--all")
        carried_out(*buildah, "rmi", "--all", "--force")


def _fetch_packages(wheels: Path) -> None:
    pip = (sys.executable, "-m", "pip", "-q", "download", "-d", wheels)
    for target in ("relay", "agent"):
        file = FILES / f"requirements-{target}.txt"
        carried_out(*pip, "--no-deps", "--require-hashes", "-r", file)
    carried_out(*pip, "hatchling>=1.27")  # what makes our own wheel


def _innermost(pid: int) -> int:
    """Return the process in the container that buildah's own ones hold."""
    found = pid

    def arrived() -> bool:
        nonlocal found
        tasks = Path(f"/proc/{found}/task").glob(
            "*/children"
        )  # any of its threads may have made it
        children = [child for task in tasks for child in task.read_text().split()]
        if children:
            found = int(children[-1])
            return False
        return PROGRAMS in Path(f"/proc/{found}/cmdline").read_text()

    until_seen(arrived)
    return found
