"""What all pages of one console share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from starlette.requests import Request

from cloud_connect_relay.console.addresses import ConsoleAddresses
from cloud_connect_relay.console.assets import Assets
from cloud_connect_relay.console.sessions import Session, Sessions
from cloud_connect_relay.console.templating import build_templates

if TYPE_CHECKING:
    from jinja2 import Environment

    from cloud_connect_relay.services import Services

__all__ = ["Shared", "shared"]

_THEME: Final = "cloud_connect_theme"  # a cookie: the page comes in the right colours at once
_THEMES: Final = frozenset({"light", "dark"})
_SESSION: Final = "cloud_connect_session"  # where a request's session is left in its ASGI scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The parts of a console."""

    services: "Services"
    addresses: ConsoleAddresses
    assets: Assets
    templates: "Environment"
    sessions: Sessions

    @classmethod
    def build(cls, services: "Services") -> Self:
        """Return the parts of the console of a relay."""
        addresses, assets = ConsoleAddresses(services.addresses), Assets()
        return cls(
            services=services,
            addresses=addresses,
            assets=assets,
            templates=build_templates(addresses=addresses, assets=assets, clock=services.clock),
            sessions=Sessions(services, addresses),
        )

    @staticmethod
    def theme(request: Request) -> str:
        """Return the colours that the person has chosen; empty: the system's."""
        chosen = request.cookies.get(_THEME, "")
        return chosen if chosen in _THEMES else ""

    @staticmethod
    def remember(request: Request, session: Session) -> None:
        """Note who asks, for the page that tells of an error."""
        request.scope[_SESSION] = session

    @staticmethod
    def session_of(request: Request) -> Session | None:
        """Return who asks, if that is known already."""
        found = request.scope.get(_SESSION)
        return found if isinstance(found, Session) else None


def shared(request: Request) -> Shared:
    """Return the console that a request came to."""
    found: Shared = request.app.state.console
    return found
