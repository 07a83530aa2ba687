"""One Windows under Wine, and one package, for all of these tests."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import build_msi
from doubles.wine import Wine, wine_prefix

# Where `tests/wine/set-up` puts it; a path of another embeddable Python is as good.
PYTHON: Final = Path(
    os.environ.get("CLOUD_CONNECT_WINDOWS_PYTHON", "build/windows/python-for-tests.zip")
)
# What the tests of core and agent import, beside the agent's own packages.
TEST_PACKAGES: Final = (
    *("pytest", "pluggy", "iniconfig", "packaging", "pygments", "colorama", "execnet"),
    *("pytest-asyncio", "pytest-timeout", "pytest-xdist", "hypothesis", "sortedcontainers"),
)


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the program, as the package holds it."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is missing; `bash tests/wine/set-up` fetches it")
    folder = tmp_path_factory.mktemp("package") / "app"
    digest = hashlib.sha256(PYTHON.read_bytes()).hexdigest()
    build_msi.stage(folder, python_zip=PYTHON, sha256=digest, version="1.0.0")
    return folder


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    """A Windows, which ends with the tests."""
    with wine_prefix(tmp_path_factory.mktemp("wine") / "prefix") as wine:
        yield wine


@pytest.fixture(scope="session")
def packages(app: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Packages of two versions, the second of which is newer."""
    folder = tmp_path_factory.mktemp("msi")
    made = {}
    for version in ("1.0.0", "1.1.0"):
        made[version] = folder / f"CloudConnect-{version}.msi"
        work = folder / version
        work.mkdir()
        build_msi.package(app, made[version], version=version, work=work)
    return made


@pytest.fixture(scope="session")
def python(app: Path, wine: Wine) -> Path:
    """Windows' Python with the agent and what its tests need, on the Windows of these tests."""
    folder = wine.drive / "python"
    shutil.copytree(app / "python", folder)
    lock = (build_msi.ROOT / "requirements.lock").read_text()
    pinned = folder / "tests.txt"
    pinned.write_text(build_msi.pinned(lock, TEST_PACKAGES))
    build_msi.install(folder / "Lib" / "site-packages", pinned, version="3.11")
    return folder / "python.exe"
