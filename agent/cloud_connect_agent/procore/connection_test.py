"""The connection test: from the network to the company's projects, one step at a time."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, Protocol

from cloud_connect.calls import Environment, ReportedGrant, Source
from cloud_connect.errors import (
    CloudConnectError,
    RateLimitedError,
    SourceRejectedError,
)
from cloud_connect_agent.procore.companies import PAGE_SIZE, companies
from cloud_connect_agent.procore.grants.accounts import Account
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse
from cloud_connect_agent.procore.tokens import CLIENT_CREDENTIALS
from cloud_connect_agent.procore.transport import Origin, describe_failure
from cloud_connect_agent.reaching import DialError

__all__ = ["StepStatus", "TestReport", "TestStep", "run_connection_test"]

SUCCESS: Final = "Connection test succeeded"


class StepStatus(StrEnum):
    """How a step ended."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    WARN = "WARN"
    FAIL = "FAIL"
    SKIP = "SKIP"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestStep:
    """One step and what it found.

    Attributes:
        rate_limited: Whether Procore only put it off, which says nothing about the connection.
    """

    __test__ = False  # not a test of pytest's

    step: int
    name: str
    status: StepStatus
    message: str
    rate_limited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """What the whole test found."""

    __test__ = False  # not a test of pytest's

    success: bool
    message: str
    steps: tuple[TestStep, ...]

    def as_json(self) -> dict[str, object]:
        """Return the report as the relay and the command line show it."""
        return {
            "success": self.success,
            "message": self.message,
            "steps": [
                {
                    "step": step.step,
                    "name": step.name,
                    "status": step.status.value,
                    "message": step.message,
                }
                for step in self.steps
            ],
        }


class Tokens(Protocol):
    """What the test asks of the authenticator."""

    def reload(self) -> None:
        """Read the vault again before the next use."""
        ...

    async def token(self, environment: Environment, company_id: int | None = None) -> object:
        """Return a token."""
        ...

    async def report(
        self, environment: Environment, company_id: int | None = None
    ) -> ReportedGrant:
        """Return what is known of the account that serves a company."""
        ...

    async def seconds_left(
        self, environment: Environment, company_id: int | None = None
    ) -> float | None:
        """Ask the login host how long the token holds."""
        ...


class Client(Protocol):
    """What the test asks of the Procore client."""

    @property
    def authenticator(self) -> Tokens:
        """Gives tokens."""
        ...

    def hosts(self, environment: Environment) -> tuple[Origin, Origin]:
        """Return the login host and the API host."""
        ...

    async def request(
        self, request: ApiRequest, *, source: Source, deadline: float, probe: bool
    ) -> ApiResponse:
        """Send one request."""
        ...


class _Stop(Exception):  # noqa: N818 - ends the test, reports nothing itself
    """A step failed: the ones behind it would tell nothing."""


class _Warning(Exception):  # noqa: N818 - ends a step, reports nothing itself
    """A step found something that a person should look at."""


_NAMES: Final = (
    "Network",
    "Sign-in",
    "Account",
    "Company",
    "Projects",
    "Permissions",
    "Token",
)
_OPTIONAL_FROM: Final = 5  # these steps only warn


async def run_connection_test(client: Client, source: Source, *, deadline: float) -> TestReport:
    """Test the connection, and stop at the first step that makes the others pointless.

    Nothing is answered from a cache: a person wants to know about this moment.

    Args:
        deadline: On the client's clock.
    """
    test = _Test(client, source, deadline)
    steps: list[TestStep] = []
    work: tuple[Callable[[], Awaitable[str]], ...] = (
        test.reach_hosts,
        test.sign_in,
        test.ask_account,
        test.find_company,
        test.list_projects,
        test.read_permissions,
        test.ask_token,
    )
    failed: TestStep | None = None
    for number, (name, check) in enumerate(zip(_NAMES, work, strict=True)):
        if failed is not None:
            message = f"Not tried, because step {failed.step} failed."
            steps.append(TestStep(step=number, name=name, status=StepStatus.SKIP, message=message))
            continue
        step = await _run_step(number, name, check)
        steps.append(step)
        failed = step if step.status is StepStatus.FAIL else None
    if failed is not None:
        return TestReport(
            success=False,
            message=f"Connection test failed at step {failed.step} ({failed.name}): "
            f"{failed.message}",
            steps=tuple(steps),
        )
    return TestReport(success=True, message=SUCCESS, steps=tuple(steps))


async def _run_step(number: int, name: str, check: Callable[[], Awaitable[str]]) -> TestStep:
    status, limited = StepStatus.PASS, False
    try:
        message = await check()
    except _Warning as warning:
        status, message = StepStatus.WARN, str(warning)
    except _Stop as stop:
        status, message = StepStatus.FAIL, str(stop)
    except CloudConnectError as error:
        status, message = StepStatus.FAIL, error.message
        limited = isinstance(error, RateLimitedError)
        if limited:
            message += " This says nothing about the connection; test again later."
    if status is StepStatus.FAIL and number >= _OPTIONAL_FROM:
        status = StepStatus.WARN
    return TestStep(step=number, name=name, status=status, message=message, rate_limited=limited)


class _Test:
    """The steps, in order."""

    def __init__(self, client: Client, source: Source, deadline: float) -> None:
        self._client: Final = client
        self._source: Final = source
        self._deadline: Final = deadline

    async def reach_hosts(self) -> str:
        """Step 0: names, TCP and TLS of both hosts."""
        login, api = self._client.hosts(self._source.environment)
        for host in (login, api):
            try:
                await host.reach()
            except (OSError, TimeoutError) as exc:
                raise _Stop(describe_failure(exc, host.host)) from exc
            except DialError as exc:
                raise _Stop(f"{host.host} cannot be reached. {exc.message}") from exc
        hosts = dict.fromkeys((login.host, api.host))
        return f"{' and '.join(hosts)} can be reached."

    async def sign_in(self) -> str:
        """Step 1: the account that serves the company is signed in to this environment."""
        where = (self._source.environment, self._source.company_id)
        authenticator = self._client.authenticator
        authenticator.reload()
        await authenticator.token(*where)
        used = await authenticator.report(*where)
        account = f"account {used.account}"
        if used.grant == CLIENT_CREDENTIALS:
            return f"Procore signed the app in ({account}, as the app's service account)."
        message = f"Procore knows the sign-in of {used.login or 'a user'} ({account})."
        if used.state != "ready":
            again = Account(environment=used.environment, name=used.account).login_command
            raise _Warning(
                f"{message} It could not be renewed and will end: run {again(used.grant)} on the "
                "connector's PC soon."
            )
        return message

    async def ask_account(self) -> str:
        """Step 2: the API host accepts the token."""
        try:
            answer = await self._get("/rest/v1.0/me")
        except SourceRejectedError as error:
            hint = ""
            if error.status == 401:
                hint = " The token may belong to another environment, or was revoked."
            elif error.status in {403, 404}:
                hint = f" The account may not know company {self._source.company_id}."
            raise _Stop(error.message + hint) from error
        account = answer.json if isinstance(answer.json, dict) else {}
        who = account.get("name") or account.get("login")
        return f"Procore knows the account {who}." if who else "Procore knows the account."

    async def find_company(self) -> str:
        """Step 3: the company is among those that the account sees, and active."""
        company_id = self._source.company_id
        seen = 0
        async with aclosing(companies(self._companies)) as listed:
            async for company in listed:
                seen += 1
                if company["id"] == company_id:
                    name = company.get("name") or company_id
                    if company.get("is_active") is False:
                        raise _Stop(f"The company {name} is not active in Procore.")
                    return f"The company {name} is visible and active."
        raise _Stop(
            f"Company {company_id} is not among the {seen} that the account sees: the app is "
            "not installed there, or the user is no member of it. Check the company id, too."
        )

    async def list_projects(self) -> str:
        """Step 4: the app is connected to the company, which only this shows."""
        company_id = self._source.company_id
        try:
            answer = await self._get(
                "/rest/v1.1/projects",
                ("company_id", str(company_id)),
                ("per_page", "1"),
                ("view", "compact"),
            )
        except SourceRejectedError as error:
            hint = ""
            if error.status == 403:
                hint = (
                    f" An administrator of company {company_id} installs or reconnects the app "
                    "under App Management in Procore."
                )
            elif error.status == 404:
                hint = " It was not found or is not visible to this account."
            raise _Stop(error.message + hint) from error
        total = answer.headers.get("total", "")
        if total == "0" or (not total and not answer.json):
            raise _Warning(
                "The app is connected, but sees no project: none is permitted for its service "
                "account yet, or there is none."
            )
        return f"The app is connected and sees {total or 'some'} project{_s(total)}."

    async def read_permissions(self) -> str:
        """Step 5: which tools the account may use; informational."""
        company_id = self._source.company_id
        answer = await self._get("/rest/v1.0/settings/permissions", ("company_id", str(company_id)))
        tools = answer.json.get("tools") if isinstance(answer.json, dict) else None
        if isinstance(tools, list):
            return f"Procore lists {len(tools)} tool{_s(str(len(tools)))} of the company."
        return "Procore tells the company's permissions."

    async def ask_token(self) -> str:
        """Step 6: how long the token still holds; informational."""
        left = await self._client.authenticator.seconds_left(
            self._source.environment, self._source.company_id
        )
        if left is None:
            raise _Warning("The login host does not say how long the token holds.")
        return f"The token holds for another {left / 60:.0f} minutes."

    async def _companies(self, page: int) -> tuple[object, str | None]:
        query = (("per_page", str(PAGE_SIZE)), ("page", str(page)))
        answer = await self._get("/rest/v1.0/companies", *query)
        return answer.json, answer.headers.get("link")

    async def _get(self, path: str, *query: tuple[str, str]) -> ApiResponse:
        answer = await self._client.request(
            ApiRequest(method="GET", path=path, query=query),
            source=self._source,
            deadline=self._deadline,
            probe=True,  # a person wants to know about this moment
        )
        answer.api_json()
        return answer


def _s(count: str) -> Literal["", "s"]:
    return "" if count == "1" else "s"
