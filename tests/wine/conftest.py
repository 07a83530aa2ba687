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
from doubles.wine import Wine, wine_machine

# Where `tests/wine/set-up` puts it; a path of another embeddable Python is as good.
PYTHON: Final = Path(
    os.environ.get("CLOUD_CONNECT_WINDOWS_PYTHON", "build/windows/python-for-tests.zip")
)


@pytest.fixture(scope="session", autouse=True)
def _environments_tools() -> Iterator[None]:
    """Find `uv` where `tests/wine/set-up` put it, if nowhere else: beside this Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the program, as the package holds it."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is missing; `bash tests/wine/set-up` fetches it")
    kept = os.environ.get("CLOUD_CONNECT_WINDOWS_APP")  # for trying the tests themselves
    if kept and Path(kept).exists():
        return Path(kept)
    folder = Path(kept) if kept else tmp_path_factory.mktemp("package") / "app"
    digest = hashlib.sha256(PYTHON.read_bytes()).hexdigest()
    build_msi.stage(folder, python_zip=PYTHON, sha256=digest, version="1.0.0")
    return folder


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    """A Windows, which ends with the tests."""
    with wine_machine(tmp_path_factory.mktemp("wine"), sources=build_msi.ROOT) as wine:
        yield wine


@pytest.fixture(scope="session")
def packages(app: Path, wine: Wine) -> dict[str, Path]:
    """Packages of two versions, the second of which is newer, on drive C:."""
    folder = wine.drive / "packages"
    folder.mkdir()
    made = {}
    for version in ("1.0.0", "1.1.0"):
        made[version] = folder / f"CloudConnect-{version}.msi"
        build_msi.package(app, made[version], version=version, work=folder)
    return made


@pytest.fixture(scope="session")
def python(app: Path, wine: Wine) -> Path:
    """Windows' Python with the agent and what its tests need, on the Windows of these tests."""
    folder = wine.drive / "python"
    shutil.copytree(app / "python", folder)
    packages = folder / "Lib" / "site-packages"
    build_msi.install(packages, build_msi.ROOT / "requirements.lock", version="3.11")
    # What the package leaves out, and the tests' own doubles need.
    sources = [f"Z:/sources/{name}\n" for name in ("relay", "simulator")]
    (packages / "sources.pth").write_text("".join(sources))
    return folder / "python.exe"
