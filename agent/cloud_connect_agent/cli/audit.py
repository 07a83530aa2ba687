"""``cloud-connect audit``: who had this PC do what; verified, listed, exported."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from cloud_connect.audit_commands import export_to, read_checkpoints, time_range
from cloud_connect.command_line import ExitStatus
from cloud_connect.errors import CloudConnectError
from cloud_connect.terminal import fields, print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud_connect.audit import AuditExchange
    from cloud_connect_agent.audit import AuditFolder

__all__ = ["audit"]


@click.group()
@shared_options
def audit() -> None:
    """Look at the record of all that this PC did, and check that nobody changed it."""


@audit.command(
    epilog=(
        "Exit status: 0 if the log is whole, else 1.\n\n"
        "\b\nExamples:\n  cloud-connect audit verify\n"
        "  cloud-connect audit verify --against checkpoints.ndjson --json"
    )
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Compare with checkpoints from `cloud-connect-relay audit checkpoints`, too.",
)
@shared_options
@pass_invocation
def verify(invocation: Invocation, *, against: Path | None) -> int:
    """Check every record and signature, and compare with what the relay holds.

    Whoever controls this PC can write its log anew. What the relay holds of it he cannot: so it
    is asked, if the agent runs, and otherwise what it said last is compared.
    """
    from cloud_connect_agent.audit.reading import verify as verify_folder

    invocation.configure_logs()
    folder = _folder(invocation)
    said, asked = _relay_says(invocation, folder)
    log, key = folder.log_id(), _public_key(invocation)
    given = [] if against is None else [(one, against.name) for one in read_checkpoints(against)]
    # A relay writes the checkpoints of all its PCs into one file.
    own = [(one, who) for one, who in given if one.log == log or one.key == key]
    held = own if said.held is None else [(said.held, "the relay"), *own]
    mine = [(one, who) for one, who in held if one.log == log]
    verdict = verify_folder(folder, held=mine, key=key)
    document = {
        **verdict.document(),
        "log": log,
        "compared_with": sorted({who for _, who in mine}),
        "relay_asked": asked,
    }
    accepted = {place for one in verdict.accepted for place in one.checkpoints}
    strangers = sorted(
        {
            one.log
            for one, _ in held
            if one.log != log and (one.log, one.seq, one.hash) not in accepted
        }
    )
    reason = None
    if strangers:
        reason = (
            f"The relay knows another log of this PC, {', '.join(strangers)}: this one was begun "
            "anew."
        )
    elif given and not own:
        reason = (
            "The file holds no checkpoint of this PC: it is of others, or this log was begun anew."
        )
    if reason is not None and document["ok"]:
        document |= {"ok": False, "first_bad_seq": 1, "reason": reason}
    if invocation.json:
        print_json(document)
    else:
        _tell(document, verdict.records)
    return ExitStatus.DONE if document["ok"] else ExitStatus.FAILED


@audit.command(
    epilog=(
        "\b\nExample:\n  cloud-connect audit accept --reason 'Disk failed; backup of 2026-11-20'"
    )
)
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stands in the log.")
@shared_options
@pass_invocation
def accept(invocation: Invocation, *, reason: str) -> None:
    """Accept that this log and what the relay holds of it do not fit, as after a restored backup.

    The agent has to be connected. What is accepted becomes a record of the log, with the reason;
    `audit verify` shows it from then on, and complains about the rest as before. The relay has a
    command of the same name for its side.
    """
    from cloud_connect.audit import Checkpoint
    from cloud_connect_agent.control import ask

    answer = ask(
        invocation.paths.control_socket, {"command": "audit-accept", "reason": reason}, timeout=75.0
    )
    found = [Checkpoint.model_validate_json(orjson.dumps(one)) for one in answer["accepted"]]
    if invocation.json:
        print_json({"accepted": [{"log": one.log, "seq": one.seq} for one in found]})
        return
    for one in found:
        click.echo(f"Accepted: {one.log} does not go on from its record {one.seq}.")
    note("Where the relay complains as well: cloud-connect-relay audit accept --reason …")


@audit.command("list", epilog="\b\nExamples:\n  cloud-connect audit list --since 24h")
@time_range
@click.option("--action", metavar="ACTION", help="Only these, such as call or procore.signed_in.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@shared_options
@pass_invocation
def list_(
    invocation: Invocation,
    *,
    since: float | None,
    until: float | None,
    action: str | None,
    limit: int,
) -> None:
    """List the newest records, the oldest of them first."""
    from itertools import islice

    from cloud_connect_agent.audit.reading import newest_records

    found: Iterator[dict[str, Any]] = (
        {**record.fields(), "prev": record.prev.hex(), "hash": record.hash.hex()}
        for record in newest_records(_folder(invocation), since=since, until=until)
        if action is None or record.fields().get("action") == action
    )
    newest = list(islice(found, limit))[::-1]
    if invocation.json:
        print_json({"items": newest})
        return
    if not newest:
        note("There is no such record.")
    for facts in newest:
        click.echo(_row(facts))


@audit.command(
    epilog="\b\nExamples:\n  cloud-connect audit export --since 2026-11-01 -o november.ndjson"
)
@time_range
@click.option("-o", "--output", type=click.Path(dir_okay=False), default="-", metavar="FILE")
@shared_options
@pass_invocation
def export(
    invocation: Invocation, *, since: float | None, until: float | None, output: str
) -> None:
    """Write records as NDJSON, with their hashes, to standard output or FILE."""
    from cloud_connect_agent.audit.reading import records

    count = 0
    with export_to(output) as write:
        for record in records(_folder(invocation), since=since, until=until):
            write(record)
            count += 1
    note(f"{count} records.")


@audit.command()
@shared_options
@pass_invocation
def checkpoints(invocation: Invocation) -> None:
    """Print the relay's checkpoint that this PC holds, for `cloud-connect-relay audit verify`."""
    said = _folder(invocation).relay()
    if said.own is None:
        note("This PC holds no checkpoint of the relay yet.")
        return
    click.echo(said.own.model_dump_json())


def _folder(invocation: Invocation) -> "AuditFolder":
    from cloud_connect_agent.audit import AuditFolder

    folder = AuditFolder(invocation.paths.audit_dir)
    if not folder.path.is_dir():
        raise CloudConnectError(
            f"There is no audit log in {folder.path}; it begins when this PC is enrolled."
        )
    return folder


def _relay_says(invocation: Invocation, folder: "AuditFolder") -> "tuple[AuditExchange, bool]":
    """Return what the relay holds, and whether it was asked just now."""
    from cloud_connect.audit import AuditExchange
    from cloud_connect_agent.control import ask

    try:
        answer = ask(invocation.paths.control_socket, {"command": "audit-exchange"}, timeout=35.0)
    except CloudConnectError:
        return folder.relay(), False
    if answer.get("said") is None:
        return folder.relay(), False
    return AuditExchange.model_validate_json(orjson.dumps(answer["said"])), True


def _public_key(invocation: Invocation) -> bytes | None:
    """Return this PC's key, if its vault can be opened."""
    import asyncio

    from cloud_connect_agent.identity import AgentKeys
    from cloud_connect_agent.vault import open_vault

    async def load() -> bytes:
        async with open_vault(invocation.paths, invocation.settings().vault) as vault:
            return (await AgentKeys(vault).load()).public_key

    try:
        return asyncio.run(load())
    except CloudConnectError as exc:
        note(f"The key of this PC cannot be read, so signatures are of anybody's: {exc.message}")
        return None


def _tell(document: dict[str, Any], count: int) -> None:
    whole = document["ok"]
    if whole:
        click.echo(click.style("The audit log is whole.", fg="green"))
    else:
        click.echo(
            click.style(
                f"Record {document['first_bad_seq']} is the first bad one.", fg="red", bold=True
            )
        )
        click.echo(document["reason"])
    compared = ", ".join(document["compared_with"]) or "nobody"
    fields(
        [
            ("Log", document["log"] or "unnamed"),
            ("Records", str(count)),
            ("Signed up to", str(document["signed_seq"])),
            ("Compared with", compared),
        ]
    )
    for one in document["accepted"]:
        where = ", ".join(f"record {at['seq']} of {at['log']}" for at in one["checkpoints"])
        note(f"Accepted in record {one['record']} ({one['time']}): lost since {where}.")
        note(f"  Reason: {one['reason']}")
    if not document["relay_asked"] and sys.stdout.isatty():
        note("The agent is not connected: what the relay holds by now was not compared.")


def _row(facts: dict[str, Any]) -> str:
    detail = facts.get("detail") or {}
    told = [
        str(facts.get(name))
        for name in ("call_id", "decision", "rule", "status")
        if facts.get(name) is not None
    ]
    told += [f"{name}={value}" for name, value in detail.items()]
    return f"{facts['seq']:>8}  {facts['time']}  {facts['action']:<20}  {' '.join(told)}".rstrip()
