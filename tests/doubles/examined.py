"""The doctor on a home, in the test's own process, and homes made by hand for it."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.doctor import CHECKS, Case, Code, Finding, examine, open_case
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import load_settings
from doubles.world_agent import Agent

__all__ = ["asking_for", "companies", "copied", "examined", "home_by_hand", "procore_at"]


async def examined(
    home: Path,
    *only: str,
    offline: bool = False,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    prepare: Callable[[Case], None] | None = None,
) -> dict[str, Finding]:
    """Run the checks named (all, if none is) and return what each found."""
    paths = AgentPaths.of(home)

    async with open_case(
        paths, lambda: load_settings(paths.config_file, environ=environ or {}, flags=flags)
    ) as case:
        if prepare is not None:
            prepare(case)
        report = await examine(case, CHECKS, only=only, offline=offline)
    for one in report.findings:
        assert one.cause.endswith((".", ")", "?")), one
        assert (one.code is None) == (one.status == "PASS"), one
        assert one.fix or one.status == "PASS" or one.code is Code.NOT_CHECKED, one
    return {one.name: one for one in report.findings}


def home_by_hand(
    folder: Path, *, tunnel_url: str = "ws://127.0.0.1:1/tunnel", more: str = "", **relay: str
) -> Path:
    """Make a home that seems to be enrolled at a relay that nobody has heard of."""
    folder.mkdir(mode=0o700)
    facts = {
        "tunnel_url": tunnel_url,
        "connector_id": "con_1",
        "key_id": "k_1",
        "relay_id": "rel_1",
        "relay_public_key": to_text(SigningKey.generate().public_key),
        **relay,
    }
    lines = ["[relay]", *(f'{name} = "{value}"' for name, value in facts.items()), more, ""]
    settings = folder / "agent.toml"
    settings.write_text("\n".join(lines))
    settings.chmod(0o600)
    return folder


def asking_for(*numbers: int) -> Callable[[Case], None]:
    """Have these companies tested."""

    def prepare(case: Case) -> None:
        case.companies = numbers

    return prepare


def companies(*ids: int) -> dict[str, Any]:
    """Settings that bind companies to the account."""
    section = {"accounts": {"default": {"companies": list(ids)}}}
    return {"procore": {"environments": {"developer-sandbox": section}}}


def procore_at(**urls: str) -> dict[str, Any]:
    """Settings that move Procore elsewhere."""
    return {"procore": {"environments": {"developer-sandbox": urls}}}


def copied(agent: Agent, folder: Path) -> Path:
    """Return a copy of the agent's files, which a test may spoil."""
    home = folder / "copy"
    shutil.copytree(agent.home, home, ignore=shutil.ignore_patterns("*.sock"))
    return home
