"""Fails when a locked package has a known vulnerability that a newer version fixes.

``.venv/bin/python .ci/audit.py [--strict]``, after the packages of requirements.lock are installed.
Advisories come from PyPI, or from an OSV server with ``CLOUD_CONNECT_OSV_URL``. Where nobody
answers, it says so and passes, so that an outage stops no change; ``--strict`` fails then, for
releases.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TRIES = 2  # the service is asked once more before it is given up
SECONDS = 300  # for one of them
NAMED = 5  # packages named in a sentence


def ask(lock: Path) -> list[Mapping[str, Any]] | None:
    """Return what pip-audit tells of each locked package; ``None`` if it tells nothing."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"),
        *("--disable-pip", "--require-hashes", "--requirement", str(lock)),
    ]
    server = os.environ.get("CLOUD_CONNECT_OSV_URL")
    if server:
        command += ["--vulnerability-service", "osv", "--osv-url", server]
    for _ in range(TRIES):
        try:
            told = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS, check=False
            )
            found: list[Mapping[str, Any]] = json.loads(told.stdout)["dependencies"]
        except (subprocess.TimeoutExpired, ValueError, KeyError):
            continue
        return found
    return None


def named(packages: Iterable[Mapping[str, Any]]) -> str:
    """Return the names of some packages."""
    names = sorted(package["name"] for package in packages)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def verdict(packages: list[Mapping[str, Any]] | None, *, strict: bool) -> int:
    """Print what is known, and return the exit status."""
    if packages is None:
        print("NOT AUDITED: the advisory service does not answer.")
        return int(strict)
    unknown = [package for package in packages if "skip_reason" in package]
    fixed = unfixed = 0
    for package in packages:
        for advisory in package.get("vulns", ()):
            place = f"{package['name']} {package['version']}: {advisory['id']}"
            if advisory["fix_versions"]:
                fixed += 1
                print(f"VULNERABLE {place}, fixed in {', '.join(advisory['fix_versions'])}")
            else:
                unfixed += 1
                print(f"vulnerable {place}, which no version fixes")
    audited = len(packages) - len(unknown)
    print(f"{audited} of {len(packages)} locked packages audited: {fixed} vulnerabilities that are")
    print(f"fixed in a newer version, {unfixed} that are not.")
    if unknown:
        print(f"NOT AUDITED, since the advisory service does not tell: {named(unknown)}.")
    return int(fixed > 0 or (strict and bool(unknown)))


if __name__ == "__main__":
    sys.exit(verdict(ask(ROOT / "requirements.lock"), strict="--strict" in sys.argv[1:]))
