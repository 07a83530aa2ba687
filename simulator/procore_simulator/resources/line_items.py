"""Line items of contracts, change orders and direct costs: collections below one record."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from procore_simulator.calls import Call
from procore_simulator.failures import invalid
from procore_simulator.filtering import among, ranged
from procore_simulator.inputs import choice, integer, money, number, reference, text
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.resources.nested import nested_routes
from procore_simulator.routing import Route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder

__all__ = ["LineItems", "line_items"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItems:
    """A collection of line items, below the records of one resource.

    Args:
        holder: The resource whose records have them.
        holder_id: What the path calls such a record.
    """

    resource: Resource
    holder: str
    holder_id: str

    def routes(self, path: str, *, v2: bool = False, created: int = 201) -> tuple[Route, ...]:
        """List, show, create, update and delete below *path*, which names the holder."""
        return nested_routes(
            self.resource,
            path,
            "LSCUD",
            holder=self.holder,
            holder_id=self.holder_id,
            belongs=lambda row, holder: bool(row["holder"]["id"] == holder["id"]),
            v2=v2,
            created=created,
        )


def line_items(
    name: str,
    *,
    tool: str,
    holder: str,
    holder_id: str,
    envelope: str | None = "line_item",
) -> LineItems:
    """Declare the line items of *holder*."""

    def seed(seeder: Seeder) -> Iterator[Record]:
        holders = seeder.rows(holder)
        codes = seeder.rows("cost_codes")
        if not holders:
            return
        for index, found in enumerate(seeder.ids()):
            code = codes[index % len(codes)]
            amount = seeder.amount(500, 60_000)
            yield {
                "id": found,
                "description": f"{seeder.rng.choice(words.SPECIFICATIONS)}, part {index + 1}",
                "position": 1 + index // len(holders),
                "amount": amount,
                "total_amount": amount,
                "quantity": "1.0",
                "unit_cost": amount,
                "uom": "ls",
                "cost_code": {key: code[key] for key in ("id", "name", "full_code")},
                "holder": {"id": holders[index % len(holders)]["id"], "holder_type": holder},
                **seeder.times(),
            }

    def complete(call: Call, row: Record, before: Record | None) -> None:
        # Below its record the path tells it; in a sync of a whole project each item does.
        given = call.params.get(holder_id, row.pop("holder_id", None))
        if before is None:
            if given is None or call.lookup(holder, int(given)) is None:
                raise invalid({holder_id: ["is invalid"]})
            row["holder"] = {"id": int(given), "holder_type": holder}
            own = call.collection(name).rows()
            row["position"] = 1 + sum(1 for other in own if other["holder"] == row["holder"])
        if row.get("quantity") and row.get("unit_cost") and row.get("extended_type") != "manual":
            row["amount"] = f"{Decimal(row['quantity']) * Decimal(row['unit_cost']):.2f}"
        row["total_amount"] = row.get("amount")

    made = Resource(
        name=name,
        tool=tool,
        envelope=envelope,
        template={
            "id": None,
            "description": None,
            "position": None,
            "amount": "0.00",
            "total_amount": "0.00",
            "extended_amount": None,
            "extended_type": "calculated",
            "quantity": None,
            "unit_cost": None,
            "uom": None,
            "cost_code": None,
            "line_item_type": None,
            "wbs_code": None,
            "tax_code_id": None,
            "holder": None,
            "company": None,
            "project": None,
            "origin_id": None,
            "origin_data": None,
            "created_at": None,
            "updated_at": None,
        },
        inputs={
            "description": text("description"),
            "amount": money("amount"),
            "quantity": number("quantity"),
            "unit_cost": money("unit_cost"),
            "uom": text("uom"),
            "extended_type": choice("extended_type", "manual", "calculated"),
            "cost_code_id": reference("cost_code", "cost_codes", "id", "name", "full_code"),
            "line_item_type_id": reference("line_item_type", "line_item_types"),
            "wbs_code_id": reference("wbs_code", "wbs_codes", "id", "flat_code", "description"),
            "tax_code_id": integer("tax_code_id"),
            holder_id: integer("holder_id"),
            "origin_id": text("origin_id"),
            "origin_data": text("origin_data"),
        },
        filters={
            "id": among("id"),
            "created_at": ranged("created_at"),
            "updated_at": ranged("updated_at"),
        },
        count=48,
        seed=seed,
        normalize=complete,
        present=_placed,
    )
    return LineItems(resource=made, holder=holder, holder_id=holder_id)


def _placed(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    shown["project"] = {"id": call.site.id, "name": call.site.name}
    shown["company"] = {"id": call.home.id, "name": call.home.name}
    return shown
