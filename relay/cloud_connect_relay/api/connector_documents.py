"""Connectors as JSON: what is stored, what is live, how healthy it is, and what is not known."""

import time
from typing import TYPE_CHECKING, Any

from cloud_connect_relay.gateway.registry import status_of
from cloud_connect_relay.reachability import pause_holds
from cloud_connect_relay.storage.connectors import ConnectorFlag
from cloud_connect_relay.times import iso_time
from cloud_connect_relay.uptime import DAY, uptime_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloud_connect.handshake_messages import CertificateCheck
    from cloud_connect_relay.gateway.registry import LiveSession
    from cloud_connect_relay.services import Services
    from cloud_connect_relay.storage.connectors import Connector
    from cloud_connect_relay.storage.presence import Seen

__all__ = ["connector_document", "echo_facts"]


def connector_document(
    services: "Services", connector: "Connector", seen: "Seen | None"
) -> dict[str, Any]:
    """Describe one connector.

    Args:
        seen: Who was there within the last day; ``None`` if the store did not tell.
    """
    live = services.registry.get(connector.id)
    report = connector.report or {}
    refused_at = services.registry.intercepted.get(connector.id)
    certificate: CertificateCheck | None = "intercepted" if refused_at is not None else None
    if live is not None:
        certificate = live.certificate
        report = live.report.model_dump(mode="json")
    return {
        "id": connector.id,
        "name": connector.name,
        "machine": connector.machine,
        "os": connector.os,
        "version": connector.version,
        "group": connector.group,
        "hosted": connector.hosted,
        "status": status_of(connector, live).value,
        "connected_since": iso_time(live.connected_since if live else None),
        "last_seen_at": iso_time(_last_seen(services, connector, live)),
        "round_trip_ms": live.round_trip_ms if live else None,
        **echo_facts(live),
        "started_at": report.get("started_at") if live else None,
        "clock_skew_seconds": report.get("clock_skew_seconds") if live else None,
        "in_flight": live.in_flight if live else 0,
        "procore": report.get("procore", []),
        "drained": connector.flag is ConnectorFlag.DRAINING,
        **_pause(services.clock(), connector, report, live),
        "policy": report.get("policy", {}),
        "policy_class": connector.policy_class,
        "key_id": connector.key_id,
        "certificate": certificate,
        "sealing_key": report.get("sealing_key"),
        "intercepted_at": iso_time(refused_at),
        "problems": [
            *_refusal(connector),
            *report.get("problems", []),
            *_interception(certificate, live),
        ],
        "statistics": _statistics(services, connector, seen),
    }


def _pause(
    now: float,
    connector: "Connector",
    report: "Mapping[str, Any]",
    live: "LiveSession | None",
) -> dict[str, Any]:
    """Tell until when it is paused and where; on its PC it may be without an end, and in both.

    Of one that was revoked nothing is told: no resuming brings it back.
    """
    if connector.flag is ConnectorFlag.REVOKED:
        return {"paused_until": None, "paused_by": None, "held_until": None}
    held = connector.paused_until
    held_until = None if held is None or held <= now else iso_time(held)
    told: dict[str, Any] = {"paused_until": held_until, "paused_by": None}
    there = pause_holds(report, now=now) if live is None else live.report.paused
    if there:
        told = {"paused_until": report.get("paused_until"), "paused_by": "pc"}
    elif held_until is not None:
        told["paused_by"] = "administrator"
    return {**told, "held_until": held_until}


def echo_facts(live: "LiveSession | None") -> dict[str, Any]:
    """Describe the last echo of a session; ``null`` where there is none."""
    if live is None:
        return {"echo_ms": None, "echoed_at": None, "echo_error": None}
    return {
        "echo_ms": live.echo.milliseconds,
        "echoed_at": iso_time(live.echo.at),
        "echo_error": live.echo.error,
    }


def _statistics(
    services: "Services", connector: "Connector", seen: "Seen | None"
) -> dict[str, Any]:
    calls = services.metrics.statistics.of(connector.id)
    return {
        "window_seconds": calls.window_seconds,
        **calls.document(),
        **_uptime(services.clock(), connector, seen),
    }


def _uptime(now: float, connector: "Connector", seen: "Seen | None") -> dict[str, Any]:
    if seen is None:
        return {"uptime_24h": None, "uptime_known_seconds": 0.0}
    uptime = uptime_of(
        relays=seen.relays,
        connected=seen.connectors.get(connector.id, ()),
        since=max(now - DAY, connector.enrolled_at),
        now=now,
    )
    return {"uptime_24h": uptime.share, "uptime_known_seconds": uptime.known_seconds}


def _refusal(connector: "Connector") -> "Iterator[str]":
    if connector.flag is ConnectorFlag.CLONE_SUSPECTED:
        yield (
            "Refused: two PCs use this connector's identity, or an older state of its disk was"
            " restored. Stop the copy and give it an identity of its own there (`cloud-connect"
            " reset --new-identity`); then let this connector recover, or enrol it again."
        )
    elif connector.flag is ConnectorFlag.PENDING:
        yield "An administrator has to approve this connector before it may connect."


def _interception(
    certificate: "CertificateCheck | None", live: "LiveSession | None"
) -> "Iterator[str]":
    if certificate != "intercepted":
        return
    if live is None:
        yield (
            "Refused: a proxy between this connector and the relay reads the traffic; its"
            " administrator may allow that (relay.allow_intercepted)."
        )
    else:
        yield (
            "A proxy between this connector and the relay reads the traffic, as its administrator"
            " allows."
        )


def _last_seen(
    services: "Services", connector: "Connector", live: "LiveSession | None"
) -> float | None:
    if live is None:
        return connector.last_seen_at
    return services.clock() - max(0.0, time.monotonic() - live.session.last_received)
