"""Raw paths that mean one thing to the policy and another to a server behind it."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloud_connect.calls import PassthroughParams, Source
from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.policy import parse_policy
from cloud_connect_agent.procore.passthrough import BodyStart, prepare
from doubles.policed_agent import SANDBOX, policed_agent
from doubles.simulator_process import COMPANY, PROJECT, Simulator

HOME = f"rest/v1.0/projects/{PROJECT}/rfis"
POLICY = f"""
[[rules]]
id = "rfis"
effect = "allow"
verbs = ["passthrough_read", "passthrough_write"]
paths = ["{HOME}"]
"""
ESCAPED = f"rest/v1.0/companies/{COMPANY}/users"


def words(text: str) -> list[str]:
    """Split a list that is easier to read without quotes."""
    return text.split()


UPS = words(
    r".. %2e%2e .%2e %2e. %2E%2E %252e%252e %25%32%65%25%32%65 %c0%ae%c0%ae ..%00 ..%20 ..; ..;a=b "
    r"..%3b ... .%00. %e2%80%a5 %ef%bc%8e%ef%bc%8e ..%09 ..%0d%0a .%0a."
)
UPS += ["\u2025", "\uff0e\uff0e"]  # look like two dots
SLASHES = words(r"/ %2f %2F %252f %25%32%66 \ %5c %5C %255c // /./ ;/ %00/ /%2e/ %e2%88%95 %c0%af")
SLASHES += ["\u2215"]


def tricks() -> Iterator[str]:
    """Yield targets, all of which want to be somewhere else than below :data:`HOME`."""
    for up in UPS:
        for slash in SLASHES[:9]:
            yield f"{HOME}{slash}{up}{slash}{up}{slash}{up}{slash}companies/{COMPANY}/users"
    for slash in SLASHES:
        yield f"{HOME}{slash}..{slash}vendors"
        yield f"rest{slash}v1.0{slash}companies{slash}{COMPANY}{slash}users?x={HOME}"
        yield f"{slash}{ESCAPED}"
    for joint in ("@", "#", "%23", "?", "%3f", ";", "%3b", ":", "%3a", "%40", "&", "|", "^", "`"):
        yield f"{ESCAPED}{joint}{HOME}"
        yield f"{HOME}{joint}/../../vendors"
        yield f"{HOME}{joint}@evil.example/rest/v1.0/me"
    for absolute in ("http://evil.example/", "https://127.0.0.1/", "//evil.example/", "file:///"):
        yield f"{absolute}{HOME}"
        yield f"{absolute}{ESCAPED}"
        yield f"rest/v1.0/{absolute}{HOME}"
    for prefix in (
        "REST/v1.0",
        "rest/V1.0",
        "rest/v1.0.0",
        "rest//v1.0",
        "rest/v1.0%2f",
        "Rest/v1",
    ):
        yield f"{prefix}/companies/{COMPANY}/users"
        yield f"{prefix}/projects/{PROJECT}/rfis/../../../vendors"
    for other in (
        "rfis_x",
        "rfisx",
        "rfi",
        "RFIS/../users",
        "rfis%20/../users",
        "rfis.json/../users",
    ):
        yield f"rest/v1.0/projects/{PROJECT}/{other}"
    for space in (" ", "%20", "\t", "%09", "\r\n", "%0d%0a", "\x00", "%00", "\x7f", "%7f", "\xa0"):
        yield f"{HOME}{space}/../../../companies/{COMPANY}/users"
        yield f"{space}{ESCAPED}"
        yield f"{ESCAPED}{space}HTTP/1.1{space}X: y"


def lies_below_home(path: str) -> bool:
    """Whether *path* stays below :data:`HOME` however often and by whomever it is decoded."""
    readings = {path}
    for _ in range(3):
        readings |= {unquote(one) for one in readings}
        readings |= {one.replace("\\", "/") for one in readings}
        readings |= {re.sub(r";[^/]*", "", one) for one in readings}
        readings |= {posixpath.normpath(one) for one in readings}
    return all(one.strip("/") == HOME or one.strip("/").startswith(f"{HOME}/") for one in readings)


@pytest.mark.catalogue("T102")
@pytest.mark.slow
async def test_no_trick_leaves_what_the_policy_allows(simulator: Simulator, tmp_path: Path) -> None:
    targets = list(dict.fromkeys(tricks()))
    assert len(targets) >= 300
    async with policed_agent(tmp_path, simulator, POLICY) as agent:
        for number, target in enumerate(targets):
            method = ("GET", "POST", "DELETE")[number % 3]
            answer = await agent.raw(method, target, {} if method == "POST" else b"")
            assert answer.head.problem is None or answer.problem.outcome != "unknown", target
        allowed = await agent.raw("GET", f"{HOME}?per_page=1")
        assert allowed.head.status == 200, "what is meant must go through"
    asked = [one["path"] for one in simulator.requests() if one["path"].startswith("/rest")]
    assert f"/{HOME}" in asked
    binding = f"/rest/v1.0/projects/{PROJECT}"  # whose project it is
    assert [path for path in asked if path != binding and not lies_below_home(path)] == []


POLICY_FOR_PATHS = parse_policy(POLICY)
PIECES = st.sampled_from([*UPS, *SLASHES, "companies", "users", "rfis", "?", "#", "@", ":", "%"])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES | st.text(max_size=3), max_size=8), st.booleans())
@example(["/", "..", "/", "..", "/", "users"], True)
def test_what_passes_means_the_same_to_every_reader(pieces: list[str], below: bool) -> None:  # noqa: FBT001 - drawn
    target = (HOME if below else "rest/v1.0/") + "".join(pieces)
    source = Source(company_id=COMPANY, environment=SANDBOX)
    params = PassthroughParams.model_construct(source=source, method="GET", target=target)
    try:
        call = prepare(params, (), BodyStart(data=b"", complete=True))
    except CloudConnectError:
        return
    if all(POLICY_FOR_PATHS.decide(access).allowed for access in call.accesses):
        assert lies_below_home(call.target.raw.partition("?")[0])
