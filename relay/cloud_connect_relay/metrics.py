"""The relay's Prometheus collectors, declared once, in a registry of their own."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from cloud_connect_relay.call_figures import CallFigures
from cloud_connect_relay.call_statistics import CallStatistics

if TYPE_CHECKING:
    from cloud_connect_relay.quota import QuotaUse

__all__ = ["Metrics"]

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """What one relay process counts."""

    content_type: Final = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.statistics: Final = CallStatistics()
        self.figures: Final = CallFigures()
        self.calls: Final = Counter(
            "cloud_connect_calls",
            "Calls that have ended, by operation and outcome.",
            ("operation", "outcome"),
            registry=self.registry,
        )
        self.call_seconds: Final = Histogram(
            "cloud_connect_call_duration_seconds",
            "Time from a call's arrival to the end of its answer.",
            ("operation",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.calls_running: Final = Gauge(
            "cloud_connect_calls_running",
            "Calls that are running.",
            registry=self.registry,
        )
        self.calls_queued: Final = Gauge(
            "cloud_connect_calls_queued",
            "Calls that wait for their turn at a connector, or for one to come back.",
            registry=self.registry,
        )
        self.queued_bytes: Final = Gauge(
            "cloud_connect_queued_bytes",
            "Bodies of the calls that wait.",
            registry=self.registry,
        )
        self.streams_open: Final = Gauge(
            "cloud_connect_streams_open",
            "Streams that are open on the sessions of this node.",
            registry=self.registry,
        )
        self.handshakes_pending: Final = Gauge(
            "cloud_connect_handshakes_pending",
            "Sockets of agents that have not authenticated yet.",
            registry=self.registry,
        )
        self.connectors_online: Final = Gauge(
            "cloud_connect_connectors_online",
            "Connectors with a live session on this node.",
            registry=self.registry,
        )
        self.bytes: Final = Counter(
            "cloud_connect_bytes",
            "Body bytes of calls: 'in' from callers, 'out' to them.",
            ("direction",),
            registry=self.registry,
        )
        self._bytes_in: Final = self.bytes.labels("in")
        self._bytes_out: Final = self.bytes.labels("out")
        self._ended: Final[dict[tuple[str, str], tuple[Counter, Histogram]]] = {}
        self.auth_failures: Final = Counter(
            "cloud_connect_auth_failures",
            "Refused credentials, by what they were for.",
            ("kind",),
            registry=self.registry,
        )

    def call_finished(
        self,
        operation: str,
        outcome: str,
        seconds: float,
        *,
        bytes_in: int = 0,
        bytes_out: int = 0,
    ) -> None:
        """Count one call that has ended, with the bytes of its bodies."""
        ended = self._ended.get((operation, outcome))
        if ended is None:  # looking a label up costs more than counting
            ended = self.calls.labels(operation, outcome), self.call_seconds.labels(operation)
            self._ended[operation, outcome] = ended
        count, duration = ended
        count.inc()
        duration.observe(seconds)
        if bytes_in:
            self._bytes_in.inc(bytes_in)
        self._bytes_out.inc(bytes_out)

    def watch_connectors(self, count: Callable[[], float], *, streams: Callable[[], float]) -> None:
        """Ask for the connectors online and their streams whenever somebody reads the metrics."""
        self.connectors_online.set_function(count)
        self.streams_open.set_function(streams)

    def render(self, quotas: "Iterable[QuotaUse]" = ()) -> bytes:
        """Return all of it in Prometheus's text format.

        Args:
            quotas: Of the reader's own subscription and key.
        """
        return generate_latest(self.registry) + generate_latest(_Quotas(quotas))


class _Quotas(Collector):
    """What the quotas of one reader allow at this moment, and what is left of them."""

    def __init__(self, uses: "Iterable[QuotaUse]") -> None:
        self._uses: Final = tuple(uses)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges, unless there is nothing to tell."""
        if not self._uses:
            return
        labels = ("of", "id", "limit")
        allowed = GaugeMetricFamily("cloud_connect_quota", "What a quota allows.", labels=labels)
        left = GaugeMetricFamily(
            "cloud_connect_quota_left", "What is left of a quota at this moment.", labels=labels
        )
        for use in self._uses:
            allowed.add_metric((use.kind, use.id, use.limit), use.allowed)
            left.add_metric((use.kind, use.id, use.limit), use.left)
        yield allowed
        yield left
