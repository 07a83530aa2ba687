"""The connectors that a data source can run on, as its page lists them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloud_connect_relay.console.accounts import ACCOUNT_TEXTS, ENVIRONMENT_TEXTS
from cloud_connect_relay.gateway.registry import status_of
from cloud_connect_relay.storage.connectors import ConnectorFlag

if TYPE_CHECKING:
    from collections.abc import Collection

    from cloud_connect_relay.console.pages import Page
    from cloud_connect_relay.gateway.registry import LiveSession

__all__ = ["ConnectorChoice", "ConnectorChoices", "connector_choices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorChoice:
    """One connector of the list.

    Attributes:
        accounts: What it is at Procore, a line for each account; none if that is not known.
    """

    id: str
    name: str
    machine: str
    group: str
    hosted: bool
    status: str
    chosen: bool
    accounts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorChoices:
    """All connectors that may be chosen, and those that run calls where none is."""

    connectors: tuple[ConnectorChoice, ...]
    groups: tuple[str, ...]

    @property
    def hosted(self) -> tuple[ConnectorChoice, ...]:
        """The connectors that run calls where Cloud Connect is off."""
        return tuple(one for one in self.connectors if one.hosted)

    @property
    def chosen(self) -> tuple[ConnectorChoice, ...]:
        """The chosen ones."""
        return tuple(one for one in self.connectors if one.chosen)


async def connector_choices(page: "Page", chosen: "Collection[str]") -> ConnectorChoices:
    """Return what there is to choose from: what is connected and chosen stands first.

    A revoked connector is listed only where it is chosen, so that it can be taken out.
    """
    found = []
    groups = set()
    for brief in await page.tenant.connectors.briefs():
        if brief.flag is ConnectorFlag.REVOKED and brief.id not in chosen:
            continue
        live = page.services.registry.get(brief.id)
        if brief.group:
            groups.add(brief.group)
        found.append(
            ConnectorChoice(
                id=brief.id,
                name=brief.name,
                machine=brief.machine,
                group=brief.group or "",
                hosted=brief.hosted,
                status=status_of(brief, live).value,
                chosen=brief.id in chosen,
                accounts=_accounts(live),
            )
        )
    found.sort(key=lambda one: (not one.chosen, one.status != "online", one.name.casefold()))
    return ConnectorChoices(connectors=tuple(found), groups=tuple(sorted(groups)))


def _accounts(live: "LiveSession | None") -> tuple[str, ...]:
    if live is None:
        return ()
    return tuple(
        f"{grant.login or grant.account} ({ENVIRONMENT_TEXTS[grant.environment]}):"
        f" {ACCOUNT_TEXTS[grant.state]}"
        for grant in live.report.procore
    )
