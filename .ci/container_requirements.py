"""Prints what a container image installs: the lines of the lock for one extra and all below it.

python .ci/container_requirements.py agent > service/container/requirements-agent.txt
python .ci/container_requirements.py relay > service/container/requirements-relay.txt
"""

import re
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS = {"agent": (), "relay": ("relay", "postgres")}
# A Linux image, whichever of our Python versions is in it.
PLATFORM = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
VERSIONS = ("3.11", "3.12", "3.13")


def needed(extras: tuple[str, ...]) -> set[str]:
    """Return the names of all packages that the product needs with *extras*."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own = [*project["dependencies"]]
    for extra in extras:
        own += project["optional-dependencies"][extra]
    found: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [one for one in map(Requirement, own) if applies(one, ())]
    while waiting:
        one = waiting.pop()
        place = (canonicalize_name(one.name), tuple(sorted(one.extras)))
        if place not in found:
            found.add(place)
            below = map(Requirement, requires(one.name) or ())
            waiting += [it for it in below if applies(it, place[1])]
    return {str(name) for name, _ in found}


def applies(one: Requirement, extras: tuple[str, ...]) -> bool:
    """Whether a requirement counts on one of the Pythons that an image may have."""
    if one.marker is None:
        return True
    return any(
        one.marker.evaluate(
            {**PLATFORM, "python_version": version, "python_full_version": f"{version}.0"}
            | {"extra": extra}
        )
        for version in VERSIONS
        for extra in extras or ("",)
    )


def main() -> None:
    """Write the lines, with their hashes, in the lock's order."""
    names = needed(EXTRAS[sys.argv[1]])
    keep = False
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        head = re.match(r"([A-Za-z0-9._-]+)(\[[^\]]*\])?==", line)
        if head is not None:
            keep = canonicalize_name(head[1]) in names
            names.discard(canonicalize_name(head[1]))
        if keep:
            print(line)
    if names:
        sys.exit(f"not in requirements.lock: {', '.join(sorted(names))}")


main()
