"""Following a sign-in at Procore from the data source's page, until a browser has come back."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cloud_connect.browser_page import DENIED
from cloud_connect_relay.storage.audit import AuditFilter

if TYPE_CHECKING:
    from cloud_connect_relay.console.pages import Page

__all__ = ["SignIn", "SignInState", "follow_sign_in"]

_DONE: Final = "datasource.authorized"
_FAILED: Final = "datasource.authorize_failed"
_RECORDS: Final = 20  # of a data source in the seconds that a sign-in takes
_REASONS: Final = {
    DENIED: "access was refused in Procore's window",
    "no_code": "Procore sent no code back",
    "malformed_code": "what Procore sent back is malformed",
    "policy_denied": "the connector's policy does not accept this account",
    "agent_offline": "the connector is not connected any more",
}


class SignInState(StrEnum):
    """How far a sign-in has come."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A sign-in as the page shows it.

    Attributes:
        attempt: What to ask about it by; empty: it did not even begin.
        address: Where to send the person's browser, as long as it is new.
    """

    state: SignInState
    text: str
    attempt: str = ""
    address: str = ""


async def follow_sign_in(page: "Page", datasource_id: str, attempt: str) -> SignIn:
    """Return how far a sign-in has come."""
    begun = await page.tenant.authorizations.find(attempt, datasource_id=datasource_id)
    if begun is None or (begun.used_at is None and begun.expires_at <= page.now):
        return SignIn(
            state=SignInState.FAILED,
            attempt=attempt,
            text="Nobody signed in within ten minutes. Choose Authorize to begin again.",
        )
    if begun.used_at is None:
        return SignIn(
            state=SignInState.WAITING,
            attempt=attempt,
            text="Sign in to Procore in the window that opened. This page notices when it is done.",
        )
    wanted = AuditFilter(
        actor=begun.actor, target=datasource_id, action="datasource", since=begun.used_at - 1
    )
    for record in await page.tenant.audit.newest(wanted, limit=_RECORDS):
        if record.detail.get("connector_id") != begun.connector_id:
            continue
        if record.action == _DONE:
            connector = await page.tenant.connectors.get(begun.connector_id)
            where = "The connector" if connector is None else connector.name
            who = record.detail.get("login") or "you"
            return SignIn(
                state=SignInState.DONE,
                attempt=attempt,
                text=f"Signed in: {where} now acts in Procore as {who}.",
            )
        if record.action == _FAILED:
            code = str(record.detail.get("reason", ""))
            why = _REASONS.get(code, code.replace("_", " "))
            return SignIn(
                state=SignInState.FAILED,
                attempt=attempt,
                text=f"Not signed in: {why}. Choose Authorize to try again.",
            )
    return SignIn(
        state=SignInState.WAITING,
        attempt=attempt,
        text="Procore has answered; the connector fetches its access.",
    )
