"""``cloud-connect policy``: what this PC allows, and which rule decides."""

from typing import TYPE_CHECKING

import click

from cloud_connect.command_line import ExitStatus
from cloud_connect.terminal import fields, print_json, table
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.policy_approvals import approve, deny, pending
from cloud_connect_agent.cli.policy_loading import (
    current_policy,
    document_of,
    rules_of,
    warnings_of,
)
from cloud_connect_agent.cli.policy_question import Asked, call_options, question_of
from cloud_connect_agent.cli.policy_reasons import explain, simulate
from cloud_connect_agent.cli.policy_strong import strong_facts, strong_rows
from cloud_connect_agent.cli.terminal import mark, note

if TYPE_CHECKING:
    from cloud_connect_agent.policy import PolicyDocument, Rule
    from cloud_connect_agent.policy.rules import Limits

__all__ = ["policy"]


@click.group()
@shared_options
def policy() -> None:
    """Look at what this PC allows; the file policy.toml is yours to edit."""


for _command in (explain, simulate, pending, approve, deny):
    policy.add_command(_command)


@policy.command()
@shared_options
@pass_invocation
def show(invocation: Invocation) -> int:
    """Show the rules in the order in which they are tried."""
    from cloud_connect_agent.policy.followed import ownership_warning

    invocation.configure_logs()
    file = invocation.paths.policy_file
    current = current_policy(invocation)
    summary = current.summary()
    document = document_of(current)
    warnings, owner = warnings_of(document), ownership_warning(file)
    if invocation.json:
        rules = [
            rule.model_dump(mode="json", exclude_none=True, by_alias=True)
            for rule in rules_of(document)
        ]
        told = {"file": str(file), "ownership": owner, **summary, **strong_facts(document)}
        print_json({**told, "rule_list": rules, "warnings": warnings})
    else:
        fields(
            (
                ("File", str(file)),
                ("Class", str(summary["class"])),
                ("Mode", str(summary["mode"])),
                ("Hours", str(document.hours) if document and document.hours else ""),
                ("Pass-through", str(summary["pass_through"])),
                ("Records per call", _most(summary["max_records_per_call"])),
                ("For all rules", "; ".join(_limits(document)) if document else ""),
                *strong_rows(document),
                ("Problem", str(summary["problem"] or "")),
            )
        )
        if document is not None:
            _show_rules(document)
        for warning in [*warnings, *([] if owner is None else [owner])]:
            note(f"{mark('WARN')} {warning}")
    broken = summary["problem"] and file.exists()
    return ExitStatus.BAD_CONFIGURATION if broken else ExitStatus.DONE


@policy.command(
    epilog=(
        "Exit status: 0 if allowed, 6 if refused.\n\n"
        "\b\nExamples:\n"
        "  cloud-connect policy check --operation create --resource rfis --company 1234\n"
        "  cloud-connect policy check --operation passthrough --method POST "
        "--path rest/v1.0/projects"
    )
)
@call_options
@click.option("--records", type=click.IntRange(1), help="How many records the call would change.")
@shared_options
@pass_invocation
def check(invocation: Invocation, *, records: int | None, asked: Asked) -> int:
    """Ask whether a call would be allowed, and by which rule."""
    invocation.configure_logs()
    question = question_of(invocation, asked)
    decision = question.policy.decide(question.access)
    ceiling = decision.ceiling
    over = ceiling.refusal(records or 1) if ceiling is not None else None
    allowed, reason = decision.allowed and over is None, decision.reason
    if ceiling is not None and over is not None:
        reason = f"{over} (rule {ceiling.rule})"
    warnings = warnings_of(document_of(question.policy))
    if invocation.json:
        most = ceiling.records if ceiling is not None else None
        told = {"allowed": allowed, "rule": decision.rule, "reason": reason}
        waits = {"approval": "first-use"} if decision.approval else {}
        print_json({**told, "max_records_per_call": most, "warnings": warnings, **waits})
    else:
        click.echo(f"{mark('PASS' if allowed else 'FAIL')} {reason}")
        if allowed and ceiling is not None:
            click.echo(f"One call may change at most {ceiling.records} records.")
        if allowed and decision.approval:
            click.echo("Its first use waits for your approval: `cloud-connect policy pending`.")
        for warning in warnings:
            note(f"{mark('WARN')} {warning}")
    return ExitStatus.DONE if allowed else ExitStatus.REFUSED_BY_POLICY


def _show_rules(document: "PolicyDocument") -> None:
    click.echo()
    rows = [(rule.id, rule.effect.value, _extent(rule)) for rule in document.rules]
    table(("RULE", "EFFECT", "COVERS"), [*rows, ("default", "deny", "everything else")])


def _most(records: object) -> str:
    return "not limited" if records is None else f"at most {records}"


def _extent(rule: "Rule") -> str:
    """Return in words what a rule covers."""
    parts = [", ".join(sorted(rule.verbs)) if rule.verbs else "every verb"]
    for name, values in (
        ("environments", rule.environments),
        ("companies", rule.companies),
        ("projects", rule.projects),
        ("resources", rule.resources),
        ("paths", rule.paths),
    ):
        if values:
            parts.append(f"{name} {', '.join(sorted(map(str, values)))}")
    if rule.hours is not None:
        parts.append(str(rule.hours))
    if rule.max_records_per_call is not None:
        parts.append(f"at most {rule.max_records_per_call} records per call")
    return "; ".join([*parts, *_limits(rule)])


def _limits(holder: "Limits") -> list[str]:
    """Return in words what is limited, besides records."""
    parts = []
    if holder.max_rows_per_call is not None:
        parts.append(f"at most {holder.max_rows_per_call} rows per call")
    if holder.max_body_bytes is not None:
        parts.append(f"at most {holder.max_body_bytes} bytes per request")
    if holder.max_calls_per_minute is not None:
        parts.append(f"at most {holder.max_calls_per_minute} calls a minute")
    if holder.unwritable_fields:
        parts.append(f"never writes {', '.join(sorted(holder.unwritable_fields))}")
    if holder.approval == "first-use":
        parts.append("first uses wait for approval")
    return parts
