"""Rules of the repository itself."""

import importlib
import pkgutil
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cloud_connect", "cloud_connect_agent", "cloud_connect_relay", "procore_simulator")
MAX_LINES = 400


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listing.splitlines() if (ROOT / name).is_file()]


def modules() -> list[str]:
    names = []
    for package in PACKAGES:
        root = importlib.import_module(package)
        names += [
            info.name
            for info in pkgutil.walk_packages(root.__path__, f"{package}.")
            if "migrations" not in info.name and not info.name.endswith("__main__")
        ]
    return names


def test_no_python_file_is_longer_than_one_concept() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py")
        if (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert not long


def test_every_package_says_that_it_is_typed() -> None:
    for package in PACKAGES:
        (folder,) = importlib.import_module(package).__path__
        assert (Path(folder) / "py.typed").exists(), package


@pytest.mark.parametrize("name", modules())
def test_every_exported_name_exists(name: str) -> None:
    module = importlib.import_module(name)
    for exported in getattr(module, "__all__", ()):
        assert hasattr(module, exported), f"{name}.{exported}"


@pytest.mark.catalogue("T100")
def test_locked_requirements_name_no_address_and_carry_hashes() -> None:
    for path in tracked("*.lock", "requirements*", "*package-lock.json", "*.npmrc"):
        assert not re.search(r"https?://|--(extra-)?index-url", path.read_text()), path
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9._-]+(?:\[[a-z,]+\])?==.*$", lock, re.MULTILINE)
    assert pins
    for entry in re.split(r"\n(?=[a-z0-9])", lock.strip()):
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        named += extra
    for group in project["dependency-groups"].values():
        named += [entry for entry in group if isinstance(entry, str)]
    contributing = (ROOT / "CONTRIBUTING.md").read_text().lower()
    names = {re.split(r"[\[<>=~! ;]", entry)[0].lower() for entry in named}
    assert not {name for name in names if f"`{name}`" not in contributing}


def test_links_between_pages_lead_somewhere() -> None:
    for page in tracked("*.md"):
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} -> {target}"
