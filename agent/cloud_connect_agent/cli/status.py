"""``cloud-connect status``: is this PC connected, and if not, why."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cloud_connect.command_line import ExitStatus
from cloud_connect.terminal import fields, print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.opening import open_client
from cloud_connect_agent.cli.terminal import note
from cloud_connect_agent.control import AgentNotAnsweringError, AgentNotRunningError, ask
from cloud_connect_agent.durations import lasting
from cloud_connect_agent.version import VERSION

if TYPE_CHECKING:
    from cloud_connect_agent.paths import AgentPaths
    from cloud_connect_agent.settings import AgentSettings

__all__ = ["describe_grant", "rows_of", "status", "status_document", "stored_grants"]

_COLOURS = {"connected": "green", "connecting": "yellow", "stopped": "yellow"}

_PATIENCE = 5.0  # seconds for an answer from the agent, which needs milliseconds


@click.command(
    epilog=(
        "Exit status: 0 only if connected, 3 if not enrolled, else 4.\n\n"
        "\b\nExamples:\n  cloud-connect status\n  cloud-connect status --json"
    )
)
@shared_options
@pass_invocation
def status(invocation: Invocation) -> int:
    """Show whether calls can come through, and when the last round trip was."""
    document = status_document(invocation) | {"vault": _vault(invocation)}
    if invocation.json:
        print_json(document)
    else:
        _show(document)
    if document["connector_id"] is None:
        hint = invocation.hint()
        note(f"This PC is not enrolled; run `cloud-connect{hint} enrol --relay URL`.")
        return ExitStatus.NOT_ENROLLED
    if document["connected"]:
        return ExitStatus.DONE
    note(f"`cloud-connect{invocation.hint()} doctor` finds out why.")
    return ExitStatus.NOT_CONNECTED


def status_document(invocation: Invocation) -> dict[str, Any]:
    """Return what the agent says of itself or, if none runs, what its files say."""
    try:
        answer = ask(invocation.paths.control_socket, {"command": "status"}, timeout=_PATIENCE)
    except AgentNotAnsweringError as exc:
        return _stopped(invocation) | {"state": "offline", "error": exc.message}
    except AgentNotRunningError:
        return _stopped(invocation)
    document: dict[str, Any] = answer["status"]
    return document


def _vault(invocation: Invocation) -> dict[str, Any] | None:
    """Say what keeps the vault's key; of another account's agent nothing is known."""
    from cloud_connect.errors import VaultLockedError
    from cloud_connect_agent.vault import describe_vault

    try:
        return describe_vault(invocation.paths)
    except (VaultLockedError, OSError):
        return None


def _stopped(invocation: Invocation) -> dict[str, Any]:
    """Say what the files say: nothing runs that could be asked."""
    import asyncio

    from cloud_connect.errors import VaultLockedError
    from cloud_connect_agent.health import Health
    from cloud_connect_agent.journal import Damage
    from cloud_connect_agent.pausing import Pause
    from cloud_connect_agent.policy_file import PolicyFile
    from cloud_connect_agent.proxies import Proxies

    invocation.configure_logs()
    settings = invocation.settings()
    proxies = Proxies.of(settings.proxy)
    script = proxies.advice(settings.relay.tunnel_url)
    problems = [] if script is None else [script]
    damage, pause, journal = None, Pause(), "ok"
    try:
        damage = Damage.read(invocation.paths.journal_file)
        pause = Pause.load(invocation.paths.pause_file)
    except OSError as exc:  # of another account's agent nothing is known
        problems.append(f"The state folder cannot be read: {exc.strerror}.")
        journal = "unavailable"
    if damage is not None:
        problems.append(damage.sentence)
        journal = "damaged"
    snapshot = Health(pause=pause).snapshot()
    procore: list[dict[str, Any]] = []
    try:
        if invocation.paths.state_dir.exists():
            procore = asyncio.run(stored_grants(invocation.paths, settings))
    except VaultLockedError as exc:
        problems.append(exc.message)
    return {
        "state": "stopped",
        "connected": False,
        "last_round_trip_ms": None,
        "last_round_trip_at": None,
        "last_echo_at": None,
        "started_at": None,
        "relay": settings.relay.url,
        "proxy": proxies.describe(settings.relay.tunnel_url),
        "connector_id": settings.relay.connector_id,
        "key_id": None,
        "name": settings.name,
        "version": VERSION,
        "in_flight": 0,
        "paused": snapshot.paused,
        "paused_until": snapshot.paused_until,
        "pause_seconds_left": snapshot.pause_seconds_left,
        "draining": False,
        "since": None,
        "clock_skew_seconds": None,
        "certificate": None,
        "error": None,
        "problems": problems,
        "journal": {"state": journal, "results_to_tell": None},
        "calls": None,
        "procore": procore,
        "policy": PolicyFile(invocation.paths.policy_file).summary(),
    }


async def stored_grants(paths: "AgentPaths", settings: "AgentSettings") -> list[dict[str, Any]]:
    """Return what this PC's vault holds of each Procore account, without the secrets."""
    async with open_client(paths, settings) as client:
        return [grant.model_dump(mode="json") for grant in await client.authenticator.grants()]


def _show(document: dict[str, Any]) -> None:
    state = str(document["state"])
    words = [click.style(state, fg=_COLOURS.get(state, "red"), bold=True)]
    words += [_paused(document)] if document["paused"] else []
    words += ["draining"] if document["draining"] else []
    if document["since"]:
        words.append(f"since {document['since']}")
    connector = document["connector_id"] or "not enrolled"
    if document["connector_id"] and document["name"]:
        connector = f"{document['name']} ({connector})"
    trip = ""
    if document["last_round_trip_ms"] is not None:
        trip = f"{document['last_round_trip_ms']:.1f} ms, at {document['last_round_trip_at']}"
    policy, proxy = document["policy"], document.get("proxy")
    echoed, vault = document.get("last_echo_at"), document["vault"]
    rows = [
        ("State", ", ".join(words)),
        ("Reason", document["error"] or ""),
        ("Relay", document["relay"] or ""),
        ("Proxy", _proxy(proxy) if proxy else ""),
        ("Connector", connector),
        ("Round trip", trip),
        ("Relay's echo", f"answered at {document['last_echo_at']}" if echoed else ""),
        ("Running", _running(document)),
        ("Untold", _untold(document["journal"])),
        *(row for grant in document["procore"] for row in rows_of(grant)),
        (
            "Policy",
            f"{policy['class']}, {policy['rules']} rules, pass-through {policy['pass_through']}",
        ),
        ("", f"loaded at {policy['loaded_at']}" if policy.get("loaded_at") else ""),
        ("", f"{policy['waiting']} first uses wait for you" if policy.get("waiting") else ""),
        ("Vault", f"{vault['description']} ({vault['key']})" if vault else ""),
        ("", (vault or {}).get("warning") or ""),
        ("Problem", policy.get("problem") or ""),
        *(("Problem", problem) for problem in document["problems"]),
        ("Version", document["version"]),
    ]
    fields(rows)


def _proxy(proxy: dict[str, Any]) -> str:
    away = "; it is not there, so hosts are reached directly" if proxy.get("bypassed") else ""
    return f"{proxy['url']} ({proxy['source']}){away}"


def _running(document: dict[str, Any]) -> str:
    calls = document.get("calls")
    running = f"{document['in_flight']} calls"
    if calls is None:
        return running
    failed = f" ({calls['failed_last_minute']} failed)" if calls["failed_last_minute"] else ""
    return f"{running}, {calls['last_minute']} ended in the last minute{failed}"


def _untold(journal: dict[str, Any]) -> str:
    count = journal["results_to_tell"]
    return f"{count} results of writes that the relay has not got yet" if count else ""


def _paused(document: dict[str, Any]) -> str:
    left = document["pause_seconds_left"]
    if left is None:
        return "paused until `cloud-connect resume`"
    return f"paused for another {lasting(left)}"


def rows_of(grant: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines of one Procore account: itself, who refuses it, what is left."""
    head, facts = describe_grant(grant)
    yield "Procore", head
    for fact in facts:
        yield "", fact
    if grant.get("last_contact_at"):
        trip = f"{grant['last_contact_ms']:.0f} ms, at {grant['last_contact_at']}"
        yield "", f"Procore answered in {trip}"
    for circuit in grant.get("circuits", ()):
        company, until = circuit["company_id"], circuit["retry_at"]
        yield "", f"company {company} is not asked before {until}: {circuit['reason']}"
    for budget in grant.get("budget", ()):
        left, limit = budget["remaining"], budget["limit"]
        until = f" until {budget['resets_at']}" if budget["resets_at"] else ""
        yield "", f"company {budget['company_id']}: {left} of {limit} requests left{until}"


def describe_grant(grant: dict[str, Any]) -> tuple[str, list[str]]:
    """Return how one Procore account stands, and what it is, a line each."""
    from cloud_connect.calls import Environment
    from cloud_connect_agent.procore.grants.accounts import DEFAULT_ACCOUNT, STATE_WORDS, Account

    account = Account(
        environment=Environment(grant["environment"]),
        name=str(grant.get("account") or DEFAULT_ACCOUNT),
    )
    state = STATE_WORDS.get(str(grant["state"]), str(grant["state"]))
    login = f" as {grant['login']}" if grant.get("login") else ""
    facts = [f"{grant['grant']}{login}", f"app {grant['client_id'] or 'none'}"]
    if grant.get("expires_at") and grant["state"] != "no_grant":
        until = str(grant["expires_at"]).removesuffix("Z").partition(".")[0]
        facts.append(f"token until {until}Z")
    return f"{account.label}: {state}", facts
