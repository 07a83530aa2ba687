"""The doctor on a home, in the test's own process, and homes made by hand for it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.doctor import CHECKS, Code, Finding, examine, open_case
from cloud_connect_agent.hosting.service import ServiceBackend, ServiceWish
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import load_settings

__all__ = ["examined", "home_by_hand"]


async def examined(
    home: Path,
    *only: str,
    offline: bool = False,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    service: Callable[[ServiceWish], ServiceBackend] | None = None,
) -> dict[str, Finding]:
    """Run the checks named (all, if none is) and return what each found."""
    paths = AgentPaths.of(home)

    async with open_case(
        paths, lambda: load_settings(paths.config_file, environ=environ or {}, flags=flags)
    ) as case:
        if service is not None:
            case.service = service
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
