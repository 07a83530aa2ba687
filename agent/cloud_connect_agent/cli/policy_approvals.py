"""``cloud-connect policy pending``, ``approve`` and ``deny``: first uses that wait for a person."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cloud_connect.errors import CloudConnectError
from cloud_connect.terminal import print_json, table
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_connect_agent.policy.approvals import Use, Verdict, Verdicts, Waiting

__all__ = ["approve", "deny", "pending"]

_READABLE = 0o644  # for the agent's account, where the file belongs to root; it holds no secret


@click.command()
@shared_options
@pass_invocation
def pending(invocation: Invocation) -> None:
    """List the first uses that wait for approval."""
    waiting = _waiting(invocation, _verdicts(invocation))
    if invocation.json:
        print_json(
            {
                "waiting": [
                    {
                        "id": one.id,
                        "verb": one.verb.value,
                        "what": one.what,
                        "since": one.since.isoformat(timespec="seconds"),
                    }
                    for one in waiting
                ]
            }
        )
    elif not waiting:
        click.echo("Nothing waits for approval.")
    else:
        rows = [
            (one.id, one.verb.value, one.what, f"{one.since:%Y-%m-%d %H:%M}Z") for one in waiting
        ]
        table(("ID", "VERB", "WHAT", "SINCE"), rows)


_IDS = click.argument("ids", nargs=-1, metavar="ID...")
_ALL = click.option("--all", "everything", is_flag=True, help="All that wait.")


@click.command(epilog="\b\nExample:\n  cloud-connect policy approve 3fa94c01d2ee")
@_IDS
@_ALL
@shared_options
@pass_invocation
def approve(invocation: Invocation, *, ids: tuple[str, ...], everything: bool) -> None:
    """Let what waits go on, from its next call on; also what was denied before."""
    from cloud_connect_agent.policy.approvals import Verdict

    _decide(invocation, ids, Verdict.APPROVED, everything=everything)


@click.command(epilog="\b\nExample:\n  cloud-connect policy deny 3fa94c01d2ee")
@_IDS
@_ALL
@shared_options
@pass_invocation
def deny(invocation: Invocation, *, ids: tuple[str, ...], everything: bool) -> None:
    """Refuse what waits, for good; also what was approved before."""
    from cloud_connect_agent.policy.approvals import Verdict

    _decide(invocation, ids, Verdict.DENIED, everything=everything)


def _decide(
    invocation: Invocation, ids: tuple[str, ...], verdict: "Verdict", *, everything: bool
) -> None:
    from cloud_connect_agent.durable import write_durably

    if bool(ids) == everything:
        raise click.UsageError("Name what is meant by its id, or all of it with --all.")
    known = _verdicts(invocation)
    waiting = _waiting(invocation, known)
    meant: list[Use] = [*waiting] if everything else _meant(ids, waiting, known)
    now = datetime.now(UTC)
    for use in meant:
        known = known.with_(use, verdict, now)
    file = invocation.paths.approvals_file
    try:
        write_durably(file, known.model_dump_json(indent=1).encode(), mode=_READABLE)
    except OSError as exc:
        raise CloudConnectError(
            f"{file} cannot be written ({exc.strerror}); run this as the administrator of this PC."
        ) from exc
    if invocation.json:
        print_json({"verdict": verdict.value, "uses": [f"{one}" for one in meant]})
        return
    for use in meant:
        click.echo(f"{verdict.value.capitalize()}: {use}.")


def _meant(ids: tuple[str, ...], waiting: "Sequence[Waiting]", known: "Verdicts") -> "list[Use]":
    found: list[Use] = []
    for one in ids:
        uses = {(use.verb, use.what): use for use in (*known.decided, *waiting) if use.id == one}
        if len(uses) != 1:  # an id is made of what it names, so two of one id were made up
            raise CloudConnectError(
                f"Nothing that waits has the id {one[:64]}; see `cloud-connect policy pending`."
            )
        found += uses.values()
    return found


def _waiting(invocation: Invocation, known: "Verdicts") -> "list[Waiting]":
    from cloud_connect_agent.policy.approvals import WaitingList

    listed = WaitingList.load(invocation.paths.waiting_file).waiting
    return [one for one in listed if known.of(one) is None]


def _verdicts(invocation: Invocation) -> "Verdicts":
    from cloud_connect_agent.policy.approvals import Verdicts

    try:
        text = invocation.paths.approvals_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Verdicts()
    except OSError as exc:
        raise CloudConnectError(f"approvals.json cannot be read: {exc.strerror}.") from exc
    return Verdicts.parse(text)
