"""The ways to sign in from this PC: without a person, with a browser, with a pasted code."""

import asyncio
import os
import sys
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.cli.terminal import ask_secret, note
from cloud_connect_agent.procore.grants.authorization import OOB_URI
from cloud_connect_agent.procore.grants.loopback import listen
from cloud_connect_agent.procore.tokens import AUTHORIZATION_CODE
from cloud_connect_agent.settings import check_redirect_uri

if TYPE_CHECKING:
    from cloud_connect.calls import ReportedGrant
    from cloud_connect_agent.procore.grants.accounts import Account
    from cloud_connect_agent.procore.grants.authorization import Authorization
    from cloud_connect_agent.procore.oauth import Authenticator

__all__ = ["Ways", "sign_in"]

_ON_LINUX: Final[bool] = sys.platform == "linux"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How the person wants to sign in."""

    grant: str
    oob: bool
    browser: bool
    redirect_uri: str | None

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            click.UsageError: Saying what.
        """
        if self.grant != AUTHORIZATION_CODE:
            if self.oob or not self.browser or self.redirect_uri is not None:
                raise click.UsageError(
                    "--oob, --no-browser and --redirect-uri are for --grant authorization-code."
                )
        elif self.oob and self.redirect_uri is not None:
            raise click.UsageError("Say either --oob or --redirect-uri.")
        if self.redirect_uri is not None:
            try:
                check_redirect_uri(self.redirect_uri)
            except ValueError as exc:
                raise click.UsageError(f"--redirect-uri: {exc}.") from exc


async def sign_in(
    authenticator: "Authenticator", account: "Account", ways: Ways, *, configured: str
) -> "ReportedGrant":
    """Sign in to *account* and return what came of it.

    Args:
        configured: The redirect URI of the settings.

    Raises:
        SignInRequiredError: If Procore or the identity check refuses it.
        SourceUnavailableError: If Procore gives no answer.
        ConfigurationError: If the browser cannot come back to this PC.
    """
    if ways.grant != AUTHORIZATION_CODE:
        return await authenticator.sign_in(account.environment, account=account.name)
    if ways.oob:
        authorization = await authenticator.authorize(account, redirect_uri=OOB_URI)
        await _show(authorization, browser=ways.browser)
        code = await asyncio.to_thread(ask_secret, "Code", what="The code", max_characters=4096)
        return await authenticator.redeem(authorization, code.strip())
    authorization = await authenticator.authorize(
        account, redirect_uri=ways.redirect_uri or configured
    )
    async with listen(authorization) as loopback:
        await _show(authorization, browser=ways.browser)
        callback = await loopback.callback()
        try:
            report = await authenticator.redeem(authorization, callback.code)
        except CloudConnectError as error:
            await callback.answer("Not signed in", error.message, "You can close this window.")
            raise
        await callback.answer(
            "Signed in",
            f"Cloud Connect on this PC now acts in Procore as {report.login or 'you'}.",
            "You can close this window.",
        )
        return report


async def _show(authorization: "Authorization", *, browser: bool) -> None:
    note("Open this address in a browser, sign in to Procore and approve the app:")
    note(authorization.url)
    if browser and _has_screen():
        # Some browsers end only when they are closed; meanwhile they have to be answered.
        await asyncio.to_thread(webbrowser.open, authorization.url)


def _has_screen() -> bool:
    """Whether a browser would have a window, rather than take over this terminal."""
    if not _ON_LINUX:
        return True
    environ = os.environ  # noqa: TID251 - where there is a screen is no setting
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
