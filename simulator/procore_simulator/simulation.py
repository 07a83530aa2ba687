"""Everything the origins share: worlds, clock, ledger, faults and behaviour."""

from dataclasses import fields, replace

from procore_simulator.clock import SimulatorClock
from procore_simulator.failures import bad_request
from procore_simulator.faults import Faults
from procore_simulator.ledger import Ledger
from procore_simulator.messages import JsonObject
from procore_simulator.resources import RESOURCES, ROUTES
from procore_simulator.routing import RouteTable
from procore_simulator.settings import Behaviour, SimulatorSettings
from procore_simulator.storage.disk import Disk
from procore_simulator.storage.objects import Objects
from procore_simulator.storage.signing import Signer
from procore_simulator.world import World

__all__ = ["Simulation"]

_LIMITING = frozenset({"spike_limit", "spike_seconds", "hourly_limit", "hourly_seconds", "window"})
"""The switches of the rate limits."""


class Simulation:
    """The state of one simulator process."""

    def __init__(self, settings: SimulatorSettings, disk: Disk, *, storage_url: str) -> None:
        self.settings = settings
        self.signer = Signer()
        self.behaviour = settings.behaviour
        self.clock = SimulatorClock(start=settings.started_at)
        self.ledger = Ledger(audit_size=settings.audit_size)
        self.faults = Faults(seed=settings.seed)
        self.routes = RouteTable(ROUTES)
        self.worlds: dict[str, World] = {
            name: World(
                name,
                settings,
                clock=self.clock,
                resources=RESOURCES,
                behaviour=lambda: self.behaviour,
                counters=lambda: self.ledger.counters,
                objects=Objects(name, disk, self.signer, base_url=storage_url, clock=self.clock),
            )
            for name in settings.environments
        }

    @property
    def primary(self) -> World:
        """The environment that has the chosen ports."""
        return self.worlds[self.settings.environments[0]]

    def change_behaviour(self, sent: JsonObject) -> None:
        """Change the switches named in *sent*; changed limits start with fresh windows.

        Raises:
            ApiError: 400 naming the switch that is unknown or has a wrong value.
        """
        kinds = {
            field.name: type(getattr(self.behaviour, field.name)) for field in fields(Behaviour)
        }
        changes: JsonObject = {}
        for name, value in sent.items():
            kind = kinds.get(name)
            if kind is None:
                raise bad_request(f"unknown behaviour: {name}", fields=name)
            try:
                if kind is bool:
                    if not isinstance(value, bool):
                        raise bad_request(f"{name} must be true or false", fields=name)
                    changes[name] = value
                else:
                    changes[name] = kind(value)
            except (TypeError, ValueError) as exc:
                raise bad_request(f"{name} has a wrong value", fields=name) from exc
        self.behaviour = replace(self.behaviour, **changes)
        if not _LIMITING.isdisjoint(changes):
            for world in self.worlds.values():
                world.limiter.clear()

    def reset(self) -> None:
        """Start over: data, ledger, faults and behaviour; tokens stay valid."""
        self.behaviour = self.settings.behaviour
        self.faults.clear()
        self.ledger.clear()
        for world in self.worlds.values():
            world.reset()
