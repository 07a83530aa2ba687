"""What a call is to do, complete and checked, before it is admitted."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import ValidationError

from cloud_connect.calls import MAX_ID, Environment, Operation, Source
from cloud_connect.errors import DataSourceIncompleteError, InsufficientScopeError
from cloud_connect_relay.access import PartnerRules
from cloud_connect_relay.storage.datasources import DataSource, DataSourceDetails

__all__ = ["CallSpec", "Target", "missing_details", "target_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the calls of a data source go: which connectors may run them, and on what.

    Attributes:
        connector_ids: The chosen connectors; empty when a group is chosen or none is needed.
        hosted: The subscription's hosted connectors run the calls (Cloud Connect is off).
        source: The Procore company and environment, as heads carry it.
        partner_rules: What a partner's request must be bound to before it may go out.
    """

    datasource_id: str
    connector_ids: tuple[str, ...]
    group: str | None
    hosted: bool
    source: Mapping[str, Any]
    partner_rules: PartnerRules | None = None

    def confined(self) -> "Target":
        """Return the same for a request that the partner rules have been applied to."""
        return replace(self, partner_rules=None)

    def includes(self, connector_id: str, *, group: str | None, hosted: bool) -> bool:
        """Whether a connector of that id, in that group, is one of those that may run them."""
        if self.hosted:
            return hosted
        return connector_id in self.connector_ids or (
            self.group is not None and group == self.group
        )

    def only(self, connector_id: str) -> "Target":
        """Return the same on that connector and no other, whichever it is."""
        return replace(self, connector_ids=(connector_id,), group=None, hosted=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSpec:
    """One call, as its caller asked for it.

    Attributes:
        actor: Who asks, as the audit log names him.
        params: The operation's parameters beside the source, as heads carry them.
        writes: Whether it may change something at the source.
        timeout: Seconds until its caller stops waiting.
        interactive: A person waits for it; else it may wait behind those of people.
        body: The whole body, kept for a second attempt; ``None`` is no body.
        fingerprint: What a repeat with the same idempotency key must equal.
        creates: It makes records that a repeat with the same key could be known by.
        coalesces: The same request of the same caller, at the same time, is the same write.
    """

    subscription_id: str
    key_id: str | None
    actor: str | None = None
    target: Target
    operation: Operation
    params: Mapping[str, Any] = field(default_factory=dict)
    resource: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    writes: bool = False
    body: bytes | None = None
    timeout: float
    interactive: bool = True
    idempotency_key: str | None = None
    fingerprint: str | None = None
    coalesces: bool = False
    creates: bool = False

    def __post_init__(self) -> None:
        """Refuse what would go out without the conditions that a partner is bound to."""
        if self.target.partner_rules is not None:
            raise InsufficientScopeError(
                "Default query parameters hold for partners of this data source, which this request"
                " cannot follow; send a query instead."
            )


_MISSING: Final = {
    "title": "a name",
    "companyId": "the Procore company id",
    "environment": "the Procore environment",
    "connectorId": "a connector",
}


def missing_details(details: DataSourceDetails) -> str | None:
    """Return a sentence that names what *details* still lack, or ``None`` when complete."""
    settings = details.settings
    given = {
        "title": bool(details.title.strip()),
        "companyId": settings.get("companyId") not in {None, ""},
        "environment": bool(settings.get("environment")),
        "connectorId": not details.use_connector
        or bool(details.connector_ids or details.connector_group),
    }
    lacking = [_MISSING[name] for name, there in given.items() if not there]
    if not lacking:
        return None
    listed = " and ".join([", ".join(lacking[:-1]), lacking[-1]] if lacking[:-1] else lacking)
    return f"The data source is incomplete: it lacks {listed}."


def target_of(datasource: DataSource) -> Target:
    """Return where the calls of *datasource* go.

    Raises:
        DataSourceIncompleteError: If its details do not tell.
    """
    details = datasource.details
    missing = missing_details(details)
    if missing is not None:
        raise DataSourceIncompleteError(missing)
    settings = details.settings
    try:
        source = Source(
            company_id=int(settings["companyId"]),
            environment=Environment(settings["environment"]),
            project_id=int(settings["projectId"]) if settings.get("projectId") else None,
        )
    except (ValidationError, ValueError) as error:
        raise DataSourceIncompleteError(
            "The data source's settings are not valid: open it and correct the company id,"
            f" the project id (whole numbers up to {MAX_ID}) or the environment."
        ) from error
    return Target(
        datasource_id=datasource.id,
        connector_ids=details.connector_ids if details.use_connector else (),
        group=details.connector_group if details.use_connector else None,
        hosted=not details.use_connector,
        source=source.model_dump(mode="json", exclude_none=True),
    )
