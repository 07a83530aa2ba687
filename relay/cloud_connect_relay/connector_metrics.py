"""How healthy each connector is, level by level, for Prometheus; what is not known is left out."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from cloud_connect.calls import ReportedGrant
    from cloud_connect_relay.gateway.registry import LiveSession

__all__ = ["render_health"]


def render_health(sessions: "Iterable[LiveSession]") -> bytes:
    """Return the gauges of the connectors that the reader may see."""
    return generate_latest(_Health(sessions))


class _Health(Collector):
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
        for live in self._sessions:
            if live.round_trip_ms is not None:
                trips.add_metric((live.connector_id,), live.round_trip_ms / 1000)
            if live.echo.seconds is not None:
                echoes.add_metric((live.connector_id,), live.echo.seconds)
            ahead = live.report.clock_skew_seconds or 0.0
            for grant in live.report.procore:
                at = _contact_of(grant)
                if at is not None:
                    labels = (live.connector_id, grant.environment.value, grant.account)
                    contacts.add_metric(labels, at - ahead)
        yield from (family for family in (trips, echoes, contacts) if family.samples)


def _contact_of(grant: "ReportedGrant") -> float | None:
    return None if grant.last_contact_at is None else grant.last_contact_at.timestamp()
