#!/usr/bin/env python3
"""Builds ``CloudConnect.msi`` on Linux: Python, the agent and what it needs, in one file.

    service/windows/build_msi.py --python python-3.11.9-embed-amd64.zip --python-sha256 HEX

It needs ``uv``, ``x86_64-w64-mingw32-gcc``, ``wixl`` and ``msiinfo``, and a Python of the version
that it packs: that one compiles the modules. Nothing comes in without a known hash: Python by
the one on the command line, packages by requirements.lock.
"""

import argparse
import compileall
import hashlib
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "BuildError", "install", "main", "package", "pinned", "stage"]

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
COMPILER: Final = "x86_64-w64-mingw32-gcc"
RESOURCES: Final = "x86_64-w64-mingw32-windres"
# Program, what it runs, and what the task manager calls it.
LAUNCHERS: Final = (
    ("cloud-connect", "cloud_connect_agent", "Cloud Connect"),
    ("cloud-connect-service", "cloud_connect_agent.hosting.windows_service", "Cloud Connect agent"),
)
WINDOWS: Final = ("--python-platform", "x86_64-pc-windows-msvc")
# Of our own wheel and of others': what no agent on Windows runs.
UNUSED: Final = (
    "bin",
    "Scripts",
    "cloud_connect_relay",
    "procore_simulator",
    "adodbapi",
    "isapi",
    "pythonwin",
    "win32/Demos",
    "win32/include",
    "win32/libs",
    "win32/test",
    "win32com/demos",
    "win32com/HTML",
    "win32com/test",
    "win32comext",
    "PyWin32.chm",
)
UPGRADE_CODE: Final = "7C0B5C0E-2E0B-4F0A-9E55-3B0C1C8E7A41"  # of all versions, for ever
# What wixl has no elements for. "=-*" adds to the machine's variable and takes away again, "[~];"
# behind what is in it. The numbers are the places that Windows Installer names.
ADDED: Final = (
    # 256 | 512: both versions are meant, too, so that one built anew replaces its like.
    """INSERT INTO `Upgrade`
        (`UpgradeCode`, `VersionMin`, `VersionMax`, `Attributes`, `ActionProperty`)
        VALUES ('{@CODE}', '0.0.0', '@VERSION', 768, 'WIX_UPGRADE_DETECTED')""",
    # What may be said to msiexec and reaches its privileged half: none of it is a secret.
    """UPDATE `Property` SET `Value` = 'WIX_UPGRADE_DETECTED;WIX_DOWNGRADE_DETECTED;RELAY;\
TOKENFILE;CONNECTORNAME;GROUP;POLICY;CAFILE;PURGE;INSTALLDIR'
        WHERE `Property` = 'SecureCustomProperties'""",
    # 2 | 16: a value, in the registry of 64-bit programs, where ours is written.
    "UPDATE `RegLocator` SET `Type` = 18 WHERE `Signature_` = 'InstalledFolder'",
    """CREATE TABLE `Environment` (`Environment` CHAR(72) NOT NULL,
        `Name` CHAR(255) NOT NULL LOCALIZABLE, `Value` CHAR(255) LOCALIZABLE,
        `Component_` CHAR(72) NOT NULL PRIMARY KEY `Environment`)""",
    """INSERT INTO `Environment` (`Environment`, `Name`, `Value`, `Component_`)
        VALUES ('CommandPath', '=-*PATH', '[~];[INSTALLDIR]', 'CommandComponent')""",
    """INSERT INTO `InstallExecuteSequence` (`Action`, `Sequence`)
        VALUES ('RemoveEnvironmentStrings', 3300)""",
    """INSERT INTO `InstallExecuteSequence` (`Action`, `Sequence`)
        VALUES ('WriteEnvironmentStrings', 5200)""",
)


class BuildError(Exception):
    """The package cannot be built; the message says why."""


def stage(app: Path, *, python_zip: Path, sha256: str, version: str) -> None:
    """Lay out in *app* what shall lie in the folder of the program.

    Raises:
        BuildError: If an input is not the one that was named.
    """
    found = hashlib.sha256(python_zip.read_bytes()).hexdigest()
    if found != sha256.lower():
        raise BuildError(f"{python_zip} has the SHA-256 {found}, not {sha256}.")
    python = app / "python"
    python.mkdir(parents=True)
    with zipfile.ZipFile(python_zip) as packed:
        packed.extractall(python)
    library = _library(python)
    _check_own_version(library)
    # Relative to the library, and instead of everything else that could name a folder.
    python.joinpath(f"{library}._pth").write_text(
        f"{library}.zip\n.\nLib\\site-packages\nimport site\n", "ascii"
    )
    _fill(python / "Lib" / "site-packages", library)
    for name, module, description in LAUNCHERS:
        _launcher(app / f"{name}.exe", module, description, library=library, version=version)


def package(app: Path, target: Path, *, version: str, work: Path) -> int:
    """Pack *app* as the MSI *target*; return how many files are in it.

    Raises:
        BuildError: If a file is missing in it.
    """
    files = sorted(path for path in (app / "python").rglob("*") if path.is_file())
    # Names that do not begin with "./" make wixl-heat write an empty list and say nothing.
    names = "".join(f"./{path.relative_to(app / 'python').as_posix()}\n" for path in files)
    heat = (
        "wixl-heat",
        "--prefix",
        "./",
        "--component-group",
        "PythonFiles",
        "--var",
        "var.python",
    )
    listing = work / "python.wxs"
    listing.write_bytes(
        _run((*heat, "--directory-ref", "PYTHONDIR", "--win64"), given=names.encode())
    )
    defined = (
        f"Version={version}",
        f"UpgradeCode={UPGRADE_CODE}",
        "app=.",
        "python=python",
        "Win64=yes",
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    _run(
        (
            *("wixl", "--arch", "x64", "--output", str(target)),
            *(word for definition in defined for word in ("--define", definition)),
            *(str(HERE / "CloudConnect.wxs"), str(listing)),
        ),
        folder=app,  # wixl takes no absolute names of sources
    )
    for query in ADDED:
        filled = query.replace("@CODE", UPGRADE_CODE).replace("@VERSION", version)
        _run(("msibuild", str(target), "-q", filled))
    rows = _run(("msiinfo", "export", str(target), "File")).decode().splitlines()
    packed, wanted = len(rows) - 3, len(files) + len(LAUNCHERS)  # three lines describe the columns
    if packed != wanted:
        raise BuildError(f"{target} holds {packed} files instead of {wanted}.")
    return packed


def _library(python: Path) -> str:
    """Return the name of the Python library without its ending, such as ``python311``."""
    names = [path.stem for path in python.glob("python3??.dll")]
    if len(names) != 1:
        raise BuildError("This is no embeddable Python: it has no library such as python311.dll.")
    return names[0]


def _check_own_version(library: str) -> None:
    own = f"python{sys.version_info.major}{sys.version_info.minor}"
    if own != library:
        raise BuildError(f"Run this with {library}, which is packed: it compiles the modules.")


def install(folder: Path, what: Path, *, version: str) -> None:
    """Install packages for Windows: a wheel, or exactly what a file of pinned hashes names.

    Args:
        version: Of the Python that runs them, such as ``3.11``.
    """
    source = (str(what),) if what.suffix == ".whl" else ("--require-hashes", "-r", str(what))
    _run(
        (
            *("uv", "pip", "install", "-q", "--target", str(folder), "--no-deps", *WINDOWS),
            *("--python-version", version, "--only-binary", ":all:", "--link-mode", "copy"),
            *source,
        )
    )


def pinned(lock: str, names: Iterable[str]) -> str:
    """Return the entries of *lock* for *names*, without the markers that chose them.

    Raises:
        BuildError: If there is none for a name.
    """
    entries = {
        re.split(r"[\[=]", entry, maxsplit=1)[0]: re.sub(
            r" ; .*(?= \\$)", "", entry, flags=re.MULTILINE
        )
        for entry in re.split(r"\n(?=[a-z0-9])", lock.strip())
    }
    missing = set(names) - entries.keys()
    if missing:
        raise BuildError(f"requirements.lock lacks {', '.join(sorted(missing))}.")
    return "\n".join(entries[name] for name in sorted(names)) + "\n"


def _fill(folder: Path, library: str) -> None:
    """Install the agent and exactly what it needs on Windows, as requirements.lock pins it."""
    version = f"{library[6]}.{library[7:]}"
    lock = ROOT / "requirements.lock"
    resolved = _run(
        (
            *("uv", "pip", "compile", "-q", str(ROOT / "pyproject.toml"), *WINDOWS),
            *("--python-version", version, "--constraints", str(lock)),
            *("--no-header", "--no-annotate"),
        )
    ).decode()
    names = set(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==", resolved, re.MULTILINE))
    with tempfile.TemporaryDirectory() as work:
        packages = Path(work) / "agent.txt"
        packages.write_text(pinned(lock.read_text(), names))
        install(folder, packages, version=version)
        _run(("uv", "build", "-q", "--wheel", "--out-dir", work, str(ROOT)))
        (wheel,) = Path(work).glob("*.whl")
        install(folder, wheel, version=version)
    for name in UNUSED:
        unused = folder / name
        if unused.is_dir():
            shutil.rmtree(unused)
        else:
            unused.unlink(missing_ok=True)
    # Not by date, which an installation changes: nothing is written at run time, and Windows
    # starts it as fast as it can.
    done = compileall.compile_dir(
        folder,
        quiet=2,
        stripdir=folder,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not done:
        raise BuildError("A module of the agent's packages cannot be compiled.")


def _launcher(target: Path, module: str, description: str, *, library: str, version: str) -> None:
    """Compile the program that runs *module*."""
    numbers = ",".join((version.split(".") + ["0"] * 4)[:4])
    with tempfile.TemporaryDirectory() as work:
        resource = Path(work) / "launcher.o"
        _run(
            (
                *(RESOURCES, str(HERE / "launcher.rc"), "-o", str(resource)),
                f"-DVERSION_NUMBERS={numbers}",
                f'-DVERSION_TEXT=\\"{version}\\"',
                f'-DDESCRIPTION=\\"{description}\\"',
            )
        )
        _run(
            (
                *(COMPILER, "-municode", "-O2", "-s", "-std=c11", "-Wall", "-Wextra", "-Werror"),
                *("-Wl,--nxcompat,--dynamicbase,--high-entropy-va", "-o", str(target)),
                f'-DMODULE=L"{module}"',
                f'-DPYTHON_DLL=L"{library}.dll"',
                *(str(HERE / "launcher.c"), str(resource), "-lole32", "-luuid"),
            )
        )


def _run(command: Sequence[str], *, given: bytes = b"", folder: Path | None = None) -> bytes:
    """Run a program and return what it prints."""
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, check=True, timeout=600, cwd=folder
        )
    except FileNotFoundError as exc:
        raise BuildError(f"{command[0]} is not installed; see docs/windows-package.md.") from exc
    except subprocess.CalledProcessError as exc:
        raise BuildError(f"{command[0]} failed: {exc.stderr.decode(errors='replace')}") from exc
    return done.stdout


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build CloudConnect.msi.")
    parser.add_argument("--python", type=Path, required=True, help="The embeddable Python, a zip.")
    parser.add_argument("--python-sha256", required=True, help="What its SHA-256 has to be.")
    parser.add_argument("--output", type=Path, default=ROOT / "build/windows/CloudConnect.msi")
    parser.add_argument("--version", help="Three numbers.  [default: pyproject.toml's]")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Build the package that the command line asks for."""
    given = _arguments(words)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = given.version or project["version"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            app = Path(folder) / "app"
            stage(app, python_zip=given.python, sha256=given.python_sha256, version=version)
            target = given.output.resolve()
            count = package(app, target, version=version, work=Path(folder))
    except BuildError as exc:
        print(f"Error: {exc}", file=sys.stderr)
        return 1
    size = target.stat().st_size / 1_000_000
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    print(f"{os.path.relpath(target)}: Cloud Connect {version}, {count} files, {size:.1f} MB")
    print(f"SHA-256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
