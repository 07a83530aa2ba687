"""``cloud-connect policy``: what this PC allows, and which rule decides."""

from typing import TYPE_CHECKING, Final

import click

from cloud_connect.calls import Environment
from cloud_connect.command_line import ExitStatus
from cloud_connect.terminal import fields, print_json, table
from cloud_connect_agent.cli.environments import environment_option
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import mark, note

if TYPE_CHECKING:
    from cloud_connect_agent.policy import PolicyDocument, Rule

__all__ = ["policy"]

_OPERATIONS: Final = {
    "test": "test",
    "tree": "read",
    "query": "read",
    "read": "read",
    "list": "read",
    "get": "read",
    "create": "create",
    "update": "update",
    "delete": "delete",
    "passthrough": "passthrough_read",
}


@click.group()
@shared_options
def policy() -> None:
    """Look at what this PC allows; the file policy.toml is yours to edit."""


@policy.command()
@shared_options
@pass_invocation
def show(invocation: Invocation) -> int:
    """Show the rules in the order in which they are tried."""
    from cloud_connect_agent.policy import PolicyDocument
    from cloud_connect_agent.policy_file import PolicyFile

    invocation.configure_logs()
    file = invocation.paths.policy_file
    current = PolicyFile(file).current()
    summary = current.summary()
    document = current if isinstance(current, PolicyDocument) else None
    warnings = _warnings(document)
    if invocation.json:
        rules = [rule.model_dump(mode="json", exclude_none=True) for rule in _rules(document)]
        print_json({"file": str(file), **summary, "rule_list": rules, "warnings": warnings})
    else:
        fields(
            (
                ("File", str(file)),
                ("Class", str(summary["class"])),
                ("Mode", str(summary["mode"])),
                ("Pass-through", str(summary["pass_through"])),
                ("Records per call", _most(summary["max_records_per_call"])),
                ("Problem", str(summary["problem"] or "")),
            )
        )
        if document is not None:
            click.echo()
            rows = [(rule.id, rule.effect.value, _extent(rule)) for rule in document.rules]
            table(("RULE", "EFFECT", "COVERS"), [*rows, ("default", "deny", "everything else")])
        for warning in warnings:
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
@click.option("--operation", type=click.Choice(list(_OPERATIONS)), required=True)
@click.option("--resource", metavar="NAME", help="Such as rfis.")
@environment_option(required=False, default="live")
@click.option("--company", type=click.IntRange(1), metavar="ID")
@click.option("--project", type=click.IntRange(1), metavar="ID")
@click.option("--path", metavar="PATH", help="Of a pass-through call, from rest/ on.")
@click.option("--method", default="GET", show_default=True, help="Of a pass-through call.")
@click.option("--records", type=click.IntRange(1), help="How many records the call would change.")
@shared_options
@pass_invocation
def check(
    invocation: Invocation,
    *,
    operation: str,
    resource: str | None,
    environment: Environment,
    company: int | None,
    project: int | None,
    path: str | None,
    method: str,
    records: int | None,
) -> int:
    """Ask whether a call would be allowed, and by which rule."""
    from cloud_connect_agent.policy import Access, PolicyDocument, Verb
    from cloud_connect_agent.policy_file import PolicyFile

    invocation.configure_logs()
    current = PolicyFile(invocation.paths.policy_file).current()
    if (
        company is None
        and isinstance(current, PolicyDocument)
        and any(rule.companies for rule in current.rules)
    ):
        raise click.UsageError("The policy tells companies apart; name one with --company.")
    if resource is not None and (problem := _unknown(resource)):
        raise click.UsageError(problem)
    verb = Verb(_OPERATIONS[operation])
    if verb is Verb.PASSTHROUGH_READ and method.upper() not in {"GET", "HEAD"}:
        verb = Verb.PASSTHROUGH_WRITE
    access = Access(
        verb=verb,
        environment=environment,
        company_id=company or 0,
        project_id=project,
        resource=None if verb.raw else resource,
        path=path if verb.raw else None,
    )
    decision = current.decide(access)
    ceiling = decision.ceiling
    over = ceiling.refusal(records or 1) if ceiling is not None else None
    allowed, reason = decision.allowed and over is None, decision.reason
    if ceiling is not None and over is not None:
        reason = f"{over} (rule {ceiling.rule})"
    warnings = _warnings(current if isinstance(current, PolicyDocument) else None)
    if invocation.json:
        most = ceiling.records if ceiling is not None else None
        told = {"allowed": allowed, "rule": decision.rule, "reason": reason}
        print_json({**told, "max_records_per_call": most, "warnings": warnings})
    else:
        click.echo(f"{mark('PASS' if allowed else 'FAIL')} {reason}")
        if allowed and ceiling is not None:
            click.echo(f"One call may change at most {ceiling.records} records.")
        for warning in warnings:
            note(f"{mark('WARN')} {warning}")
    return ExitStatus.DONE if allowed else ExitStatus.REFUSED_BY_POLICY


def _most(records: object) -> str:
    return "not limited" if records is None else f"at most {records}"


def _rules(document: "PolicyDocument | None") -> "tuple[Rule, ...]":
    return document.rules if document is not None else ()


def _unknown(name: str) -> str | None:
    """Return what is wrong with the name of a resource; ``None`` if there is such a table."""
    from cloud_connect.errors import InvalidRequestError
    from cloud_connect_agent.procore.catalog import load_catalog

    try:
        load_catalog().resource(name)
    except InvalidRequestError as error:
        return error.message
    return None


def _warnings(document: "PolicyDocument | None") -> list[str]:
    """Return what rules name that does not exist: it is allowed, and covers nothing."""
    return [
        f"Rule {rule.id} covers nothing by “{name[:64]}”. {problem}"
        for rule in _rules(document)
        for name in sorted(rule.resources or ())
        if (problem := _unknown(name))
    ]


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
    if rule.max_records_per_call is not None:
        parts.append(f"at most {rule.max_records_per_call} records per call")
    return "; ".join(parts)
