"""``cloud-connect-relay audit``: who did what; verified, listed, exported."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloud_connect.audit_commands import export_to, read_checkpoints, time_range
from cloud_connect.command_line import ExitStatus
from cloud_connect.terminal import print_json
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_relay.cli.parameters import subscription_option
from cloud_connect_relay.cli.terminal import print_items

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud_connect.audit import ChainedRecord

__all__ = ["audit"]


@click.group()
@shared_options
def audit() -> None:
    """Look at the record of who did what, and check that nobody changed it."""


@audit.command(
    epilog=(
        "Exit status: 0 if all logs are whole, else 1.\n\n"
        "\b\nExamples:\n  cloud-connect-relay audit verify\n"
        "  cloud-connect-relay audit verify --against checkpoints.ndjson --json"
    )
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Compare with checkpoints from `cloud-connect audit checkpoints`, too.",
)
@subscription_option
@shared_options
@pass_invocation
def verify(invocation: Invocation, *, against: Path | None, subscription: str | None) -> int:
    """Check every record and signature, and compare with what the connectors hold."""
    found = invocation.run(_verify(invocation, against, subscription))
    ok = all(one["ok"] for one in found)
    if invocation.json:
        print_json({"ok": ok, "items": found})
    else:
        for one in found:
            _tell(one)
    return ExitStatus.DONE if ok else ExitStatus.FAILED


@audit.command(
    epilog=(
        "\b\nExample:\n  cloud-connect-relay audit accept --reason 'Restored the backup of Monday'"
    )
)
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stands in the log.")
@subscription_option
@shared_options
@pass_invocation
def accept(invocation: Invocation, *, reason: str, subscription: str | None) -> None:
    """Accept what does not fit between these logs and the connectors', as after a restored backup.

    Each connector whose log, or whose copy of our signatures, does not fit is named in a record
    of the log, with the reason; `audit verify` shows it from then on. The PCs have a command of
    the same name for their side. Repeat it when more of them have connected.
    """
    found = invocation.run(_accept(invocation, reason.strip(), subscription))
    if invocation.json:
        print_json({"items": found})
        return
    for one in found:
        click.echo(f"{one['subscription']}: accepted for {', '.join(one['connectors'])}.")
    if not found:
        click.echo("All logs fit: there is nothing to accept.")


@audit.command("list", epilog="\b\nExamples:\n  cloud-connect-relay audit list --since 24h")
@time_range
@click.option("--action", metavar="ACTION", help="Only these: key.create, or key for all of them.")
@click.option("--actor", metavar="ACTOR", help="Only of this one, such as user:usr_…")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@subscription_option
@shared_options
@pass_invocation
def list_(
    invocation: Invocation,
    *,
    since: float | None,
    until: float | None,
    action: str | None,
    actor: str | None,
    limit: int,
    subscription: str | None,
) -> None:
    """List the newest records, newest first."""
    from cloud_connect_relay.storage.audit import AuditFilter

    wanted = AuditFilter(actor=actor, action=action, since=since, until=until)
    items = invocation.run(_list(invocation, wanted, limit=limit, subscription=subscription))
    print_items(
        items,
        as_json=invocation.json,
        head=("SEQ", "TIME", "ACTOR", "ACTION", "TARGET", "SUBSCRIPTION"),
        row=lambda one: (
            str(one["seq"]),
            one["time"],
            one["actor"],
            one["action"],
            one["target"],
            one["subscription"],
        ),
        empty="There is no such record.",
    )


@audit.command(
    epilog=(
        "\b\nExamples:\n  cloud-connect-relay audit export --since 2026-11-01 -o november.ndjson"
    )
)
@time_range
@click.option("-o", "--output", type=click.Path(dir_okay=False), default="-", metavar="FILE")
@subscription_option
@shared_options
@pass_invocation
def export(
    invocation: Invocation,
    *,
    since: float | None,
    until: float | None,
    output: str,
    subscription: str | None,
) -> None:
    """Write one subscription's records as NDJSON, with their hashes, oldest first."""
    from cloud_connect_relay.storage.audit import AuditFilter

    wanted = AuditFilter(since=since, until=until)
    with export_to(output) as write:
        count = invocation.run(_export(invocation, wanted, write, subscription))
    click.echo(f"{count} records.", err=True)


@audit.command()
@subscription_option
@shared_options
@pass_invocation
def checkpoints(invocation: Invocation, *, subscription: str | None) -> None:
    """Print the connectors' checkpoints, for `cloud-connect audit verify --against`."""
    for line in invocation.run(_checkpoints(invocation, subscription)):
        click.echo(line)


async def _verify(
    invocation: Invocation, against: Path | None, subscription: str | None
) -> list[dict[str, Any]]:
    from cloud_connect_relay.cli.store import open_workplace
    from cloud_connect_relay.storage.audit_checkpoints import AuditPeers
    from cloud_connect_relay.storage.audit_checkpoints import verify as verify_log

    given = [] if against is None else read_checkpoints(against)
    found = []
    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            peers = await AuditPeers(work.storage).of(tenant.id)
            held = [(peer.held, f"connector {name}") for peer, name in peers if peer.held]
            held += [(one, str(against)) for one in given if one.log == tenant.id]
            verdict = await verify_log(
                work.storage, tenant.id, held=held, key=work.identity.public_key
            )
            found.append(
                {
                    "subscription": tenant.name,
                    "subscription_id": tenant.id,
                    **verdict.document(),
                    "compared_with": sorted({who for _, who in held}),
                    "suspect_connectors": [peer.connector_id for peer, _ in peers if peer.evidence],
                }
            )
    return found


async def _accept(
    invocation: Invocation, reason: str, subscription: str | None
) -> list[dict[str, Any]]:
    from cloud_connect_relay.cli.store import ACTOR, open_workplace
    from cloud_connect_relay.storage.audit_checkpoints import AuditPeers, disputed

    if not reason:
        raise click.UsageError("Say why with --reason, in a sentence.")
    found = []
    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            lost = await disputed(work.storage, tenant.id)
            if not lost:
                continue
            await AuditPeers(work.storage).accept(
                tenant.id, lost, reason=reason[:500], actor=ACTOR, at=work.now
            )
            found.append(
                {
                    "subscription": tenant.name,
                    "subscription_id": tenant.id,
                    "connectors": [peer.connector_id for peer, _ in lost],
                    "checkpoints": sum(len(checkpoints) for _, checkpoints in lost),
                }
            )
    return found


async def _list(
    invocation: Invocation, wanted: Any, *, limit: int, subscription: str | None
) -> list[dict[str, Any]]:
    from cloud_connect_relay.cli.store import open_workplace

    async with open_workplace(invocation) as work:
        return [
            {
                **entry.chained.fields(),
                "prev": entry.chained.prev.hex(),
                "hash": entry.chained.hash.hex(),
                "subscription": tenant.name,
                "subscription_id": tenant.id,
            }
            for tenant in await work.chosen(subscription)
            for entry in await work.storage.of(tenant.id).audit.newest(wanted, limit=limit)
        ]


async def _export(
    invocation: Invocation,
    wanted: Any,
    write: "Callable[[ChainedRecord], None]",
    subscription: str | None,
) -> int:
    from cloud_connect_relay.cli.store import open_workplace

    count = 0
    async with open_workplace(invocation) as work:
        tenant = await work.subscription(subscription)
        async for entry in work.storage.of(tenant.id).audit.all(wanted):
            write(entry.chained)
            count += 1
    return count


async def _checkpoints(invocation: Invocation, subscription: str | None) -> list[str]:
    from cloud_connect_relay.cli.store import open_workplace
    from cloud_connect_relay.storage.audit_checkpoints import AuditPeers

    async with open_workplace(invocation) as work:
        return [
            peer.known.model_dump_json()
            for tenant in await work.chosen(subscription)
            for peer, _ in await AuditPeers(work.storage).of(tenant.id)
            if peer.known is not None
        ]


def _tell(one: dict[str, Any]) -> None:
    name = one["subscription"]
    if one["ok"]:
        click.echo(
            f"{name}: {one['records']} records, whole; signed up to {one['signed_seq']};"
            f" compared with {', '.join(one['compared_with']) or 'no connector'}."
        )
    else:
        bad = f"{name}: record {one['first_bad_seq']} is the first bad one."
        click.echo(click.style(bad, fg="red", bold=True))
        click.echo(one["reason"])
    for accepted in one["accepted"]:
        count = len(accepted["checkpoints"])
        click.echo(
            f"{name}: record {accepted['record']} ({accepted['time']}) accepts {count} checkpoint"
            f"{'' if count == 1 else 's'} that do not fit: {accepted['reason']}"
        )
    for connector in one["suspect_connectors"]:
        click.echo(
            f"{name}: the audit log of {connector} does not go on from what it had signed; run"
            " `cloud-connect audit verify` on its PC."
        )
