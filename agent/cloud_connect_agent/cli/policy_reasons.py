"""``cloud-connect policy explain`` and ``simulate``: why, and what another file would change."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cloud_connect.command_line import ExitStatus
from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.terminal import print_json, table
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.policy_loading import document_of
from cloud_connect_agent.cli.policy_question import Asked, call_options, question_of
from cloud_connect_agent.cli.terminal import mark, note

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cloud_connect_agent.policy import PolicyDocument
    from cloud_connect_agent.policy.explaining import Verdict
    from cloud_connect_agent.policy.past import PastCall

__all__ = ["explain", "simulate"]

_DAY: Final = 86400  # seconds
_MAX_SHOWN: Final = 50  # lines


@click.command(
    epilog=(
        "Exit status: 0 if allowed, 6 if refused.\n\n"
        "\b\nExamples:\n"
        "  cloud-connect policy explain --operation update --resource rfis --company 12\n"
        "  cloud-connect policy explain --operation create --resource rfis --company 12 "
        "--field cost_code --at 2026-11-28T03:00"
    )
)
@call_options
@shared_options
@pass_invocation
def explain(invocation: Invocation, *, asked: Asked) -> int:
    """Say why a call is allowed or refused: rule by rule, and which rules came close."""
    from cloud_connect_agent.policy.explaining import explain as explained

    invocation.configure_logs()
    question = question_of(invocation, asked)
    document = document_of(question.policy)
    decision = question.policy.decide(question.access)
    verdicts: tuple[Verdict, ...] = ()
    near: tuple[Verdict, ...] = ()
    if document is not None:
        found = explained(document, question.access, question.at)
        decision, verdicts, near = found.decision, found.verdicts, found.near
    if invocation.json:
        rules = [
            {
                "rule": one.rule,
                "effect": one.effect.value,
                "matches": one.matches,
                "decides": one.decides,
                "but_for": list(one.misses),
            }
            for one in verdicts
        ]
        told = {"allowed": decision.allowed, "rule": decision.rule, "reason": decision.reason}
        print_json({**told, "near_misses": [str(one) for one in near], "rules": rules})
    else:
        click.echo(f"{mark('PASS' if decision.allowed else 'FAIL')} {decision.reason}")
        for one in near:
            click.echo(f"  {one}")
        if verdicts:
            click.echo("\nRule by rule:")
        for one in verdicts:
            click.echo(f"  {one}")
    return ExitStatus.DONE if decision.allowed else ExitStatus.REFUSED_BY_POLICY


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """Calls of one kind that another policy decides otherwise."""

    what: str
    before: str
    after: str
    allowed: bool
    reason: str


@click.command(
    epilog=(
        "Exit status: 0, whatever would change; 78 if the file is wrong.\n\n"
        "Limits on records, rows, bytes and calls a minute are not tried: of past calls only what "
        "they touched is known, not how much of it.\n\n"
        "\b\nExample:\n  cloud-connect policy simulate --file new-policy.toml"
    )
)
@click.option(
    "--file",
    "candidate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The policy to try; without it, the one in force.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 8),
    default=1,
    show_default=True,
    help="How far back; a week and a day are kept.",
)
@shared_options
@pass_invocation
def simulate(invocation: Invocation, *, candidate: Path | None, days: int) -> int:
    """Decide on the calls of the last day again, and say what another policy would change."""
    from cloud_connect_agent.policy.past import read_past

    invocation.configure_logs()
    document = _document(candidate or invocation.paths.policy_file)
    try:
        past = read_past(invocation.paths.decisions_file, since=time.time() - days * _DAY)
    except OSError as exc:
        raise CloudConnectError(f"What was decided lately cannot be read: {exc}.") from exc
    changes = _changes(document, past)
    calls = sum(one.calls for one in past)
    changed = sum(changes.values())
    if invocation.json:
        print_json(
            {
                "days": days,
                "decisions": calls,
                "changed": changed,
                "newly_refused": _sum(changes, allowed=False),
                "newly_allowed": _sum(changes, allowed=True),
                "changes": [
                    {
                        "count": count,
                        "access": one.what,
                        "before": one.before,
                        "after": one.after,
                        "allowed": one.allowed,
                        "reason": one.reason,
                    }
                    for one, count in changes.most_common()
                ],
            }
        )
        return ExitStatus.DONE
    click.echo(f"{calls} decisions in {days} {'day' if days == 1 else 'days'}; {changed} change.")
    if changes:
        click.echo()
        rows = [
            (str(count), "allowed" if one.allowed else "refused", one.what, one.before, one.after)
            for one, count in changes.most_common(_MAX_SHOWN)
        ]
        table(("COUNT", "NOW", "ACCESS", "RULE BEFORE", "RULE AFTER"), rows)
        if len(changes) > _MAX_SHOWN:
            note(f"{len(changes) - _MAX_SHOWN} more kinds; --json lists them all.")
    return ExitStatus.DONE


def _document(file: Path) -> "PolicyDocument":
    from cloud_connect_agent.policy import parse_policy

    try:
        return parse_policy(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{file} cannot be read: {exc}.") from exc


def _changes(document: "PolicyDocument", past: "Sequence[PastCall]") -> Counter[_Change]:
    changes: Counter[_Change] = Counter()
    for one in past:
        decision = document.decide(one.access, datetime.fromtimestamp(one.at, UTC))
        if decision.allowed != one.allowed:
            change = _Change(
                what=str(one.access),
                before=one.rule,
                after=decision.rule,
                allowed=decision.allowed,
                reason=decision.reason,
            )
            changes[change] += one.calls
    return changes


def _sum(changes: Counter[_Change], *, allowed: bool) -> int:
    counts: Iterable[int] = (count for one, count in changes.items() if one.allowed is allowed)
    return sum(counts)
