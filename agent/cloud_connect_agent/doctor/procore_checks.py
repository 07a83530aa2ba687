"""Procore: its hosts, this PC's sign-ins, the companies that calls are for, and permissions."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Final

import httpx

from cloud_connect.calls import Environment, ReportedGrant, Source
from cloud_connect.errors import (
    CloudConnectError,
    ConfigurationError,
    InternalError,
    SignInRequiredError,
    VaultLockedError,
)
from cloud_connect_agent.doctor.case import STEP_SECONDS, Case
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.findings import (
    Finding,
    Status,
    failed,
    not_checked,
    passed,
    warned,
)
from cloud_connect_agent.doctor.read_only_vault import RenewalNeededError
from cloud_connect_agent.policy import Effect
from cloud_connect_agent.policy_file import DatedPolicy, PolicyFile
from cloud_connect_agent.procore.bodies import BodyLimits
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.connection_test import (
    StepStatus,
    TestReport,
    run_connection_test,
)
from cloud_connect_agent.procore.grants.accounts import Account
from cloud_connect_agent.procore.tokens import CLIENT_CREDENTIALS
from cloud_connect_agent.procore.transport import Origin, describe_failure
from cloud_connect_agent.reaching import DialError

__all__ = ["check_company", "check_grants", "check_permissions", "check_procore_hosts"]

_TEST_SECONDS: Final = 8.0  # for the tests of all companies
_MOST_COMPANIES: Final = 3  # that are tested: a person waits
_NAMED_COMPANIES: Final = 20
_PERMISSIONS: Final = 5  # the step's number
_ACCOUNT: Final = 2  # the first step that is about the company's own account
_PROBE: Final = b"/rest/v1.0/me"  # wants a token, and says so as only Procore does
_PROBE_LIMITS: Final = BodyLimits(max_body_bytes=256 * 1024)
_FIX_NETWORK: Final = (
    "Have your network team let this PC reach that host, port 443, directly or through the proxy; "
    "`cloud-connect firewall-sheet` lists all that it needs."
)


async def check_procore_hosts(case: Case) -> Finding:
    """Each environment's hosts are found, trusted, reached, and are Procore's."""
    environments = await _environments(case)
    if not environments:
        return passed("No Procore environment is set up on this PC yet, so none was asked.")
    client = _client(case)
    found: list[Finding] = []

    async def look(origin: Origin, *, api: bool) -> None:
        fault = await _look_at(origin, api=api)
        if fault is not None:
            found.append(fault)

    try:
        places = [client.hosts(environment) for environment in environments]
    except ConfigurationError as exc:
        return failed(
            Code.PROCORE_SETTINGS, exc.message, "Correct the section procore of agent.toml."
        )
    async with asyncio.TaskGroup() as group:
        for login, api in places:
            group.create_task(look(login, api=False), name="doctor-login-host")
            group.create_task(look(api, api=True), name="doctor-api-host")
    if found:
        return min(found, key=lambda one: (one.status is not Status.FAIL, str(one.code)))
    hosts = dict.fromkeys(origin.host for place in places for origin in place)
    return passed(f"{' and '.join(hosts)} answer{'s' if len(hosts) == 1 else ''} as Procore does.")


async def check_grants(case: Case) -> Finding:
    """Each account is signed in, and gets a token when it asks for one."""
    client = _client(case)
    if not case.opened:
        return _as_daemon_says(case, client)
    grants = await client.authenticator.grants()
    if not grants:
        return _no_grant()
    facts = []
    worst: Finding | None = None
    for grant in grants:
        finding = await _look_at_grant(client, grant)
        facts.append(finding.cause.rstrip("."))
        if worst is None or _rank(finding) > _rank(worst):
            worst = finding
    if worst is not None and worst.status is not Status.PASS:
        return worst
    return passed("; ".join(facts) + ".")


async def check_company(case: Case) -> Finding:
    """The companies that this PC is for are visible to the account that serves them."""
    if not case.opened:
        return not_checked("the vault cannot be opened here, see vault")
    if not await _client(case).authenticator.grants():
        return not_checked("no Procore account is set up, see grants")
    sources = await _sources(case)
    if not sources:
        return warned(
            Code.NO_COMPANY,
            "Neither the policy nor an account names a company, and the agent has not called one "
            "lately, so none was tested: Procore lists an app's companies only to who names one.",
            "Name one with `cloud-connect doctor --company ID`; the number is in the address of "
            "each of the company's pages in Procore.",
        )
    tested = sources[:_MOST_COMPANIES]
    deadline = time.monotonic() + _TEST_SECONDS
    client = _client(case)
    for source in tested:
        case.tests.append(await run_connection_test(client, source, deadline=deadline))
        if time.monotonic() >= deadline:
            return not_checked(f"Procore took longer than {_TEST_SECONDS:.0f} s to answer")
    verdicts = [_company_of(source, test) for source, test in zip(tested, case.tests, strict=True)]
    worst = max((one for one in verdicts if one is not None), key=_rank, default=None)
    if worst is not None:
        return worst
    more = len(sources) - len(tested)
    rest = f" ({more} more not tried)" if more else ""
    names = ", ".join(str(source.company_id) for source in tested)
    return passed(f"Visible and active: company {names}{rest}.")


def _company_of(source: Source, test: TestReport) -> Finding | None:
    """Return what the test of one company found to be wrong, if anything."""
    said = f"Company {source.company_id} ({source.environment.flag}): "
    for step in test.steps[:_PERMISSIONS]:
        if step.rate_limited and step.step < _PERMISSIONS:
            return warned(
                Code.RATE_LIMITED,
                said + step.message,
                "Wait until Procore's limit resets (`cloud-connect status` shows when), then run "
                "the command again; if that lasts, ask what else calls Procore with this app.",
            )
        if step.status is StepStatus.FAIL and step.step < _ACCOUNT:
            return not_checked(step.message.rstrip("."))
        if step.status is StepStatus.FAIL:
            return failed(
                Code.COMPANY_REFUSED,
                said + step.message,
                f"`cloud-connect test --company {source.company_id} --environment "
                f"{source.environment.flag}` shows every step.",
            )
        if step.status is StepStatus.WARN and step.step > _ACCOUNT:
            return warned(
                Code.NO_PROJECT,
                said + step.message,
                "In Procore, permit projects for the app's service account, or for the person who "
                "signed in.",
            )
    return None


async def check_permissions(case: Case) -> Finding:
    """Procore tells which tools the account may use."""
    steps = [test.steps[_PERMISSIONS] for test in case.tests]
    if not steps:
        return not_checked("no company was tested, see company")
    for step in steps:
        if step.status is not StepStatus.PASS:
            return warned(
                Code.PERMISSIONS_UNKNOWN,
                step.message,
                "Calls may be refused by Procore: have its administrator look at the permissions "
                "of the app's service account, or of the person who signed in.",
            )
    return passed(steps[0].message)


async def _look_at(origin: Origin, *, api: bool) -> Finding | None:
    """Return what is wrong with a host, if something is."""
    host = origin.host
    try:
        async with asyncio.timeout(2 * STEP_SECONDS):
            await origin.reach()
            if not api:
                return None
            status, headers, _ = await origin.fetch(
                *("GET", _PROBE),
                headers=((b"accept", b"application/json"),),
                limits=_PROBE_LIMITS,
                within=2 * STEP_SECONDS,
            )
    except DialError as exc:
        return failed(Code.PROCORE_UNREACHABLE, f"{host}: {exc.message}", _FIX_NETWORK)
    except (OSError, TimeoutError, httpx.TransportError, CloudConnectError) as exc:
        said = exc.message if isinstance(exc, CloudConnectError) else describe_failure(exc, host)
        return failed(_kind_of(exc), said, _FIX_NETWORK)
    kind = headers.get("content-type", "")
    if status in {401, 403} or "json" in kind:
        return None
    return failed(
        Code.PROCORE_STRANGE,
        f"What answers as {host} is not Procore (status {status}).",
        "A portal that wants a sign-in, or a filter of the company, answers in its place: open a "
        f"browser on this PC, or ask your network team to let {host} through untouched.",
    )


def _kind_of(error: BaseException) -> Code:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return Code.PROCORE_TLS
        if isinstance(seen, socket.gaierror):
            return Code.PROCORE_NAME
        seen = seen.__cause__ or seen.__context__
    return Code.PROCORE_UNREACHABLE


def _no_grant() -> Finding:
    return warned(
        Code.NO_GRANT,
        "No Procore account is set up on this PC, so calls cannot be carried out.",
        "Run `cloud-connect procore app --environment E --client-id ID`, then `cloud-connect "
        "procore login --environment E`.",
    )


def _as_daemon_says(case: Case, client: ProcoreClient) -> Finding:
    """Report what the running agent knows, where only that opens the vault."""
    told = case.daemon.status.get("procore")
    if not isinstance(told, list):
        return not_checked("the vault cannot be opened here, see vault")
    if not told:
        return _no_grant()
    grants = [ReportedGrant.model_validate(one) for one in told]
    for grant in grants:
        if grant.state in {"no_grant", "sign_in_required"}:
            account = client.authenticator.accounts.named(grant.environment, grant.account)
            return _sign_in(account, grant, f"{account.label}: the agent needs a sign-in.")
    for grant in grants:
        if grant.state == "at_risk":
            return _at_risk(
                client.authenticator.accounts.named(grant.environment, grant.account), grant
            )
    labels = ", ".join(f"{one.environment.flag} ({one.account})" for one in grants)
    return passed(f"The running agent says that it is signed in: {labels}.")


async def _look_at_grant(client: ProcoreClient, grant: ReportedGrant) -> Finding:
    account = client.authenticator.accounts.named(grant.environment, grant.account)
    label = account.label
    if grant.state == "no_grant":
        return _sign_in(account, grant, f"{label}: the app is stored, and nobody signed in.")
    if grant.state == "sign_in_required" and grant.grant != CLIENT_CREDENTIALS:
        return _sign_in(account, grant, f"{label}: Procore wants somebody to sign in again.")
    company = next(iter(account.companies), None)
    if not account.is_default and company is None:
        return passed(f"{label}: signed in; no company uses it.")
    try:
        await client.authenticator.token(grant.environment, company)
    except RenewalNeededError as exc:
        return passed(f"{label}: signed in. {exc.message}")
    except (SignInRequiredError, VaultLockedError) as exc:
        return _sign_in(account, grant, f"{label}: {exc.message}")
    except CloudConnectError as exc:
        return failed(
            Code.NO_TOKEN,
            f"{label}: Procore gives no token just now. {exc.message}",
            "Run the command again in a minute; if that lasts, look at Procore's status page.",
        )
    if grant.state == "at_risk":
        return _at_risk(account, grant)
    who = f" as {grant.login}" if grant.login else ""
    return passed(f"{label}: signed in{who}, and Procore gives tokens.")


def _sign_in(account: Account, grant: ReportedGrant, cause: str) -> Finding:
    return failed(
        Code.SIGN_IN_NEEDED, cause, f"Run {account.login_command(grant.grant)} on this PC."
    )


def _at_risk(account: Account, grant: ReportedGrant) -> Finding:
    return warned(
        Code.GRANT_AT_RISK,
        f"{account.label}: signed in, but the last renewal failed, so it will end.",
        f"Sign in again soon: {account.login_command(grant.grant)}.",
    )


async def _environments(case: Case) -> list[Environment]:
    """Return the environments that this PC uses, as far as anybody here knows."""
    flags: dict[str, None] = dict.fromkeys(case.settings.procore.environments)
    told = case.daemon.status.get("procore")
    for grant in told if isinstance(told, list) else ():
        flags[str(grant["environment"]).replace("_", "-")] = None
    try:
        for known in await _client(case).authenticator.grants():
            flags[known.environment.flag] = None
    except CloudConnectError:
        pass  # the check of the vault says what is wrong with it
    return [environment for environment in Environment if environment.flag in flags]


async def _sources(case: Case) -> list[Source]:
    """Return the companies of usable accounts: asked for, bound, in the policy, called lately."""
    usable = [grant.environment for grant in await _client(case).authenticator.grants()]
    found: dict[tuple[Environment, int], None] = {
        (environment, company): None for company in case.companies for environment in usable
    }
    for account in _client(case).authenticator.accounts.all():
        for company in account.companies:
            found[account.environment, company] = None
    for company in _of_policy(case):
        for environment in usable:
            found[environment, company] = None
    for environment, company in _of_daemon(case):
        found[environment, company] = None
    named = [(environment, company) for environment, company in found if environment in usable]
    return [
        Source(company_id=company, environment=environment)
        for environment, company in named[:_NAMED_COMPANIES]
    ]


def _of_daemon(case: Case) -> Iterator[tuple[Environment, int]]:
    """Yield the companies that the running agent has asked Procore about lately."""
    told = case.daemon.status.get("procore")
    for one in told if isinstance(told, list) else ():
        grant = ReportedGrant.model_validate(one)
        for budget in grant.budget:
            yield grant.environment, budget.company_id


def _of_policy(case: Case) -> Iterator[int]:
    policy = PolicyFile(case.paths.policy_file).current()
    if isinstance(policy, DatedPolicy):
        for rule in policy.document.rules:
            if rule.effect is Effect.ALLOW:
                yield from sorted(rule.companies or ())


def _client(case: Case) -> ProcoreClient:
    if case.client is None:
        raise InternalError("The Procore client is not open.")
    return case.client


def _rank(finding: Finding) -> int:
    return (Status.PASS, Status.WARN, Status.FAIL).index(finding.status)
