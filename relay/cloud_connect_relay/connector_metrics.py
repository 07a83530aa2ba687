"""What each connector has told or shown, for Prometheus; what is not known is left out."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from cloud_connect_relay.gateway.registry import LiveSession

__all__ = ["render_connectors"]


def render_connectors(sessions: "Iterable[LiveSession]") -> bytes:
    """Return the gauges of the connectors that the reader may see."""
    return generate_latest(_Connectors(sessions))


class _Connectors(Collector):
    """A collector of what was found at this moment."""

    def __init__(self, sessions: "Iterable[LiveSession]") -> None:
        self._sessions: Final = sessions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges that have something to tell."""
        trips = GaugeMetricFamily(
            "cloud_connect_connector_round_trip_seconds",
            "The last ping to the connector and back.",
            labels=("connector",),
        )
        echoes = GaugeMetricFamily(
            "cloud_connect_connector_echo_seconds",
            "The last echo through the connector's whole stack; absent if it failed.",
            labels=("connector",),
        )
        contacts = GaugeMetricFamily(
            "cloud_connect_procore_contact_timestamp_seconds",
            "When Procore last gave an account of the connector a good answer, in UNIX time.",
            labels=("connector", "environment", "account"),
        )
        remaining = GaugeMetricFamily(
            "cloud_connect_procore_requests_remaining",
            "Requests left of a rate limit of Procore's, as its last answer said.",
            labels=("connector", "environment", "account", "company", "limit"),
        )
        for live in self._sessions:
            if live.round_trip_ms is not None:
                trips.add_metric((live.connector_id,), live.round_trip_ms / 1000)
            if live.echo.seconds is not None:
                echoes.add_metric((live.connector_id,), live.echo.seconds)
            ahead = live.report.clock_skew_seconds or 0.0
            for grant in live.report.procore:
                account = (live.connector_id, grant.environment.value, grant.account)
                if grant.last_contact_at is not None:
                    contacts.add_metric(account, grant.last_contact_at.timestamp() - ahead)
                for budget in grant.budget:
                    labels = (*account, str(budget.company_id), str(budget.limit))
                    remaining.add_metric(labels, budget.remaining)
        yield from (family for family in (trips, echoes, contacts, remaining) if family.samples)
