"""``cloud-connect test``: the connection test, from this PC, step by step."""

import time
from typing import TYPE_CHECKING, Final

import click

from cloud_connect.calls import Environment, Source
from cloud_connect.command_line import ExitStatus
from cloud_connect.errors import PolicyDeniedError
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.environments import environment_option
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.opening import open_client
from cloud_connect_agent.cli.terminal import mark

if TYPE_CHECKING:
    from cloud_connect_agent.policy import Policy
    from cloud_connect_agent.procore.client import ProcoreClient
    from cloud_connect_agent.procore.connection_test import TestReport

__all__ = ["test"]

_SECONDS: Final = 60.0
_SIGN_IN_STEP: Final = 1


@click.command(
    epilog=(
        "Exit status: 0 if it succeeded, 5 if somebody has to sign in, 6 if the policy refuses "
        "the test, else 1.\n\n"
        "\b\nExamples:\n"
        "  cloud-connect test --company 1234\n"
        "  cloud-connect test --company 1234 --environment developer-sandbox"
    )
)
@click.option(
    "--company",
    type=click.IntRange(1, 2**63 - 1),
    metavar="ID",
    help="Of the company in Procore.  [default: the one that the policy names]",
)
@environment_option(required=False)
@shared_options
@pass_invocation
def test(invocation: Invocation, *, company: int | None, environment: Environment | None) -> int:
    """Test the connection to Procore; needs no relay, and changes nothing."""
    import asyncio

    from cloud_connect_agent.cli.policy_loading import current_policy

    invocation.configure_logs()
    settings = invocation.settings()
    policy = current_policy(invocation)
    company_id = company if company is not None else _company_of(policy)

    async def run() -> "TestReport":
        async with open_client(invocation.paths, settings) as client:
            chosen = environment if environment is not None else await _environment_of(client)
            _check(policy, chosen, company_id)
            return await _run(client, Source(company_id=company_id, environment=chosen))

    report = asyncio.run(run())
    if invocation.json:
        print_json(report.as_json())
    else:
        _show(report)
    if report.success:
        return ExitStatus.DONE
    failed = next((step for step in report.steps if step.status == "FAIL"), None)
    if failed is not None and failed.step == _SIGN_IN_STEP:
        return ExitStatus.SIGN_IN_NEEDED
    return ExitStatus.FAILED


async def _run(client: "ProcoreClient", source: Source) -> "TestReport":
    from cloud_connect_agent.procore.connection_test import run_connection_test

    return await run_connection_test(client, source, deadline=time.monotonic() + _SECONDS)


def _company_of(policy: "Policy") -> int:
    """Return the one company that the policy allows, if it names one."""
    from cloud_connect_agent.cli.policy_loading import document_of, rules_of
    from cloud_connect_agent.policy import Effect

    named: set[int] = set()
    for rule in rules_of(document_of(policy)):
        if rule.effect is Effect.ALLOW:
            named |= rule.companies or set()
    if len(named) == 1:
        return named.pop()
    raise click.UsageError(
        "Say which company to test with --company ID; it stands in the address of Procore's pages."
    )


async def _environment_of(client: "ProcoreClient") -> Environment:
    """Return the one environment that this PC has an app for."""
    grants = await client.authenticator.grants()
    environments = list(dict.fromkeys(grant.environment for grant in grants))
    if len(environments) == 1:
        return environments[0]
    if not environments:
        return Environment.LIVE  # its sign-in step says how to store an app
    flags = ", ".join(environment.flag for environment in environments)
    raise click.UsageError(f"This PC has apps for {flags}; say which one with --environment.")


def _check(policy: "Policy", environment: Environment, company_id: int) -> None:
    from cloud_connect_agent.policy import Access, Verb

    decision = policy.decide(Access(verb=Verb.TEST, environment=environment, company_id=company_id))
    if not decision.allowed:
        raise PolicyDeniedError(decision.reason)


def _show(report: "TestReport") -> None:
    width = max(len(step.name) for step in report.steps)
    for step in report.steps:
        click.echo(f"{mark(step.status.value)} {step.name.ljust(width)}  {step.message}")
    click.echo(click.style(report.message, fg="green" if report.success else "red", bold=True))
