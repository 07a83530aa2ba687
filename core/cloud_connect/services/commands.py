"""What ``service install`` and its like of both ends print; each end finds its own service."""

from typing import TYPE_CHECKING, Final

import click

from cloud_connect.command_line import ExitStatus
from cloud_connect.errors import ConfigurationError
from cloud_connect.terminal import fields, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_connect.services import Finding, Plan, ServiceBackend, ServiceStatus, Verb

__all__ = ["carry_out", "command_service", "show_findings", "show_plan", "show_status"]

_COLOURS: Final = {
    "running": "green",
    "starting": "yellow",
    "failed": "red",
    "PASS": "green",
    "WARN": "yellow",
    "FAIL": "red",
}


def show_plan(plan: "Plan", *, as_json: bool) -> ExitStatus:
    """Print what would be done, with the content of each file, and do nothing."""
    if as_json:
        print_json(
            {
                "service": plan.subject,
                "dry_run": True,
                "refusals": list(plan.refusals),
                "steps": [
                    {"step": step.sentence, "needed": step.needed, "content": step.content}
                    for step in plan.steps
                ],
                "notes": list(plan.notes),
            }
        )
        return ExitStatus.DONE
    for refusal in plan.refusals:
        click.echo(f"{click.style('refused', fg='red')}  {refusal}")
    for step in plan.steps:
        word = (
            click.style("to do  ", fg="yellow") if step.needed else click.style("done   ", dim=True)
        )
        click.echo(f"{word}  {step.sentence}")
        if step.needed and step.content is not None:
            for line in step.content.splitlines():
                click.echo(click.style(f"         | {line}".rstrip(), dim=True))
    if not any(step.needed for step in plan.steps):
        click.echo(f"Nothing to change: {plan.subject} is as it should be.")
    click.echo("This was a dry run: nothing was changed.", err=True)
    return ExitStatus.DONE


def carry_out(plan: "Plan", *, as_json: bool, verb: str) -> ExitStatus:
    """Do what the plan says, and print what was done and what to do next.

    Args:
        verb: What is said when all is done: "installed", "removed".

    Raises:
        ConfigurationError: If the plan must not be carried out; nothing was changed.
        CloudConnectError: If a step failed.
    """
    if plan.refusals:
        raise ConfigurationError(" ".join(plan.refusals))
    done = []
    for sentence in plan.carry_out():
        done.append(sentence)
        if not as_json:
            click.echo(f"{click.style('done', fg='green')}  {sentence}")
    if as_json:
        print_json({"service": plan.subject, "changes": done, "notes": list(plan.notes)})
        return ExitStatus.DONE
    said = f"is {verb}" if done else f"is {verb} already; nothing was changed"
    click.echo(f"{plan.subject[:1].upper()}{plan.subject[1:]} {said}.")
    for note in plan.notes:
        click.echo(note, err=True)
    return ExitStatus.DONE


def command_service(backend: "ServiceBackend", verb: "Verb", *, as_json: bool) -> ExitStatus:
    """Start, stop or restart the service.

    Raises:
        CloudConnectError: If it cannot be done.
    """
    besides = backend.control(verb)
    if as_json:
        print_json({**_document(backend.status()), "changes": list(besides)})
    else:
        for sentence in besides:
            click.echo(f"{click.style('done', fg='green')}  {sentence}")
        click.echo(f"The service {backend.name} is {verb.past}.")
    return ExitStatus.DONE


def show_status(status: "ServiceStatus", *, as_json: bool, install: str) -> ExitStatus:
    """Print how the service fares; succeed only if it runs.

    Args:
        install: The command that installs it.
    """
    if as_json:
        print_json(_document(status))
    else:
        state = click.style(status.state.replace("-", " "), fg=_COLOURS.get(status.state))
        fields(
            (
                ("Service", status.name),
                ("State", state),
                ("Says", status.says),
                ("Process", None if status.pid is None else str(status.pid)),
                ("Restarts", None if status.restarts is None else str(status.restarts)),
                ("At boot", _boot(status)),
                ("Account", status.account),
                ("Files", status.home),
            )
        )
        if status.state == "not-installed":
            click.echo(f"Install it with `{install}`.", err=True)
    return ExitStatus.DONE if status.state == "running" else ExitStatus.FAILED


def show_findings(findings: "Sequence[Finding]", *, as_json: bool) -> ExitStatus:
    """Print what was read back from the machine; fail if anything is wrong."""
    failed = sum(finding.status == "FAIL" for finding in findings)
    warned = sum(finding.status == "WARN" for finding in findings)
    if as_json:
        checks = [
            {
                "name": finding.name,
                "status": finding.status,
                "cause": finding.cause,
                "fix": finding.fix,
                "code": finding.code,
            }
            for finding in findings
        ]
        print_json({"ok": not failed, "checks": checks})
    else:
        width = max((len(finding.name) for finding in findings), default=0)
        for finding in findings:
            word = click.style(finding.status, fg=_COLOURS[finding.status])
            click.echo(f"{word}  {finding.name.ljust(width)}  {finding.cause}")
            if finding.fix is not None:
                click.echo(f"      {' ' * width}  → {finding.fix}")
        good = len(findings) - failed - warned
        click.echo(f"{good} passed, {warned} to look at, {failed} failed.")
    return ExitStatus.FAILED if failed else ExitStatus.DONE


def _boot(status: "ServiceStatus") -> str | None:
    if status.state == "not-installed":
        return None
    return "starts by itself" if status.starts_by_itself else "does not start by itself"


def _document(status: "ServiceStatus") -> dict[str, object]:
    return {
        "service": status.name,
        "state": status.state,
        "running": status.state == "running",
        "starts_by_itself": status.starts_by_itself,
        "pid": status.pid,
        "restarts": status.restarts,
        "account": status.account,
        "home": status.home,
        "says": status.says,
    }
