"""Draws the facts of one collection's first rows from its own random stream."""

import random
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from procore_simulator.messages import JsonObject
from procore_simulator.records import Record
from procore_simulator.seeding import words
from procore_simulator.tenancy import Company, Project

if TYPE_CHECKING:
    from procore_simulator.world import World

__all__ = ["Seeder"]


class Seeder:
    """What a resource's seed function may ask for."""

    def __init__(
        self,
        world: "World",
        *,
        company: Company,
        project: Project | None,
        first_id: int,
        count: int,
        rng: random.Random,
    ) -> None:
        self.world = world
        self.company = company
        self.project = project
        self.first_id = first_id
        self.count = count
        self.rng = rng
        self.today: date = world.seeded_on

    def ids(self) -> range:
        """The ids of the rows to make."""
        return range(self.first_id, self.first_id + self.count)

    def rows(self, resource: str) -> list[Record]:
        """Rows of another resource in the same project, or else company."""
        return self.world.rows(resource, company=self.company, project=self.project)

    def day(self, first: int, last: int) -> str:
        """A date between *first* and *last* days from today."""
        return (self.today + timedelta(days=self.rng.randint(first, last))).isoformat()

    def instant(self, first: int, last: int) -> str:
        """A moment of a working day between *first* and *last* days from today."""
        day = self.today + timedelta(days=self.rng.randint(first, last))
        moment = datetime.combine(
            day, time(self.rng.randint(7, 17), self.rng.randint(0, 59)), tzinfo=UTC
        )
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def times(self, first: int = -200, last: int = -1) -> JsonObject:
        """A creation moment and an update not before it."""
        made = self.instant(first, last)
        return {"created_at": made, "updated_at": max(made, self.instant(first, last))}

    def user(self) -> Record:
        """A row of the company's directory; never the service account."""
        people = self.world.rows("company_users", company=self.company)
        return self.rng.choice(people[1:])

    def person(self) -> JsonObject:
        """A reference to a user."""
        user = self.user()
        return {"id": user["id"], "login": user["email_address"], "name": user["name"]}

    def vendor(self) -> JsonObject:
        """A reference to a vendor."""
        vendor = self.rng.choice(self.world.rows("vendors", company=self.company))
        return {"id": vendor["id"], "name": vendor["name"]}

    def location(self) -> JsonObject | None:
        """A reference to a location of the project, or none."""
        if self.rng.random() < 0.4:
            return None
        place = self.rng.choice(self.rows("locations"))
        return {
            "id": place["id"],
            "name": place["name"],
            "node_name": place["node_name"],
            "parent_id": place.get("parent_id"),
        }

    def trade(self) -> JsonObject:
        """A reference to a trade."""
        index = self.rng.randrange(len(words.TRADES))
        return {"id": self.company.first_id + 901 + index, "name": words.TRADES[index]}

    def amount(self, low: int, high: int) -> str:
        """Money, as text with two decimals."""
        return f"{self.rng.randint(low, high)}.{self.rng.randint(0, 99):02d}"

    def address(self) -> JsonObject:
        """An address in flat keys."""
        city, state, postcode = self.rng.choice(words.CITIES)
        return {
            "address": f"{self.rng.randint(1, 240)} {self.rng.choice(words.STREETS)}",
            "city": city,
            "state_code": state,
            "country_code": "US",
            "zip": postcode,
        }

    def phone(self) -> str:
        """A telephone number of the range kept for fiction."""
        return f"+1 555 01{self.rng.randint(0, 99):02d}"

    def sometimes(self, value: str, *, chance: float = 0.5) -> str | None:
        """The value, or null."""
        return value if self.rng.random() < chance else None
