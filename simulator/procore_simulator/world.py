"""One environment's companies, projects and rows, made when first asked for."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from procore_simulator.auth import App, Grants, Principal
from procore_simulator.clock import SimulatorClock
from procore_simulator.limits import RateLimiter
from procore_simulator.records import Collection, Record
from procore_simulator.resource import Resource
from procore_simulator.seeding.companies import company_accounts
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.settings import Behaviour, SimulatorSettings
from procore_simulator.storage.objects import Objects
from procore_simulator.storage.uploads import Uploads
from procore_simulator.tenancy import Company, Permissions, Project

if TYPE_CHECKING:
    from procore_simulator.messages import Reply

__all__ = ["MAX_SEEDED_ROWS", "USER_ID", "World"]

MAX_SEEDED_ROWS = 100_000
"""Ids of seeded rows come in blocks of this size."""
_BLOCKS = 256
"""Blocks of a company or project, more than there are resources: each has the one of its place."""
USER_ID = 160_590
"""Who signs in unless another person is chosen."""
_SIGNING_IN = 3
_NEW_IDS = 400_000_000
"""Where the ids of rows made at run time begin, above every block."""


class World:
    """The data and grants of one environment."""

    def __init__(
        self,
        environment: str,
        settings: SimulatorSettings,
        *,
        clock: SimulatorClock,
        resources: Mapping[str, Resource],
        behaviour: Callable[[], Behaviour],
        counters: Callable[[], Counter[str]],
        objects: Objects,
    ) -> None:
        self.environment = environment
        self.clock = clock
        self.grants = Grants(
            environment,
            App.registered(environment, settings.seed),
            clock=clock,
            lifetime=lambda: behaviour().token_lifetime,
            counters=counters,
            redirect_uris=settings.redirect_uris,
        )
        self.objects = objects
        self.uploads = Uploads(objects, clock=clock, scan_seconds=lambda: behaviour().scan_seconds)
        self.limiter = RateLimiter()
        self.permissions = Permissions()
        self.companies: dict[int, Company] = {}
        self.projects: dict[int, Project] = {}
        self.replays: dict[tuple[str, str, str, str], Reply] = {}
        """Answers by (principal, method, path, Idempotency-Token)."""
        self._settings = settings
        self._resources = resources
        self._blocks = {name: place for place, name in enumerate(resources)}
        self._collections: dict[tuple[str, int], Collection] = {}
        self.seeded_on = clock.today()
        self.reset()

    def reset(self) -> None:
        """Start over with the seeded data; tokens stay valid."""
        companies, projects = company_accounts()
        self.companies = {company.id: company for company in companies}
        self.projects = {project.id: project for project in projects}
        self.permissions.clear()
        self.limiter.clear()
        self.replays.clear()
        self.uploads.clear()
        self.objects.clear()
        self._collections.clear()
        self.seeded_on = self.clock.today()

    def warm(self) -> None:
        """Make the demo project's rows, so that no first call waits for them."""
        project = self.demo_project
        for name in self._resources:
            self.collection(name, company=project.company, project=project)

    @property
    def demo_project(self) -> Project:
        """The project whose row counts can be set."""
        return next(iter(self.projects.values()))

    def service_principal(self) -> Principal:
        """The app's own service account."""
        return Principal(key="service", user_id=160_586, is_service=True)

    def user_principal(self, user_id: int = USER_ID) -> Principal:
        """A person who signs in and approves the app."""
        return Principal(key=f"user:{user_id}", user_id=user_id, is_service=False)

    def people(self) -> list[Record]:
        """Return a few active people of the demo company who may sign in."""
        users = self.rows("company_users", company=self.demo_project.company)[1:]
        return [user for user in users if user["is_active"]][:_SIGNING_IN]

    def projects_of(self, company: Company) -> list[Project]:
        """Return a company's projects."""
        return [project for project in self.projects.values() if project.company is company]

    def permits(self, principal: Principal, project: Project) -> bool:
        """Tell whether the company's admin lets the principal into the project."""
        permitted = project.company.permitted_projects
        return not principal.is_service or permitted is None or project.id in permitted

    def resource(self, name: str) -> Resource:
        """Return a resource's facts."""
        return self._resources[name]

    def add_project(self, project: Project) -> None:
        """Take in a project created at run time; it has no rows yet."""
        self.projects[project.id] = project

    def new_id(self, company: Company) -> int:
        """Return an id nobody has had."""
        company.next_id += 1
        return company.first_id + _NEW_IDS + company.ordinal * 1_000_000 + company.next_id

    def collection(
        self, name: str, *, company: Company, project: Project | None = None
    ) -> Collection:
        """Return the rows of a resource where it lives, seeding them at first."""
        resource = self._resources[name]
        owner = company if resource.company_wide or project is None else project
        key = (name, owner.id)
        found = self._collections.get(key)
        if found is None:
            found = self._collections[key] = self._seed(resource, company, owner)
        return found

    def rows(self, name: str, *, company: Company, project: Project | None = None) -> list[Record]:
        """Return the rows themselves."""
        return self.collection(name, company=company, project=project).rows()

    def _seed(self, resource: Resource, company: Company, owner: Company | Project) -> Collection:
        project = owner if isinstance(owner, Project) else None
        count = resource.count
        demo = self.demo_project
        if owner is demo or (resource.company_wide and owner is demo.company):
            count = self._settings.rows.get(resource.name, count)
        if project is not None and project is not demo:
            count = min(count, 30) if project.seeded else 0
        block = owner.ordinal * _BLOCKS + self._blocks[resource.name]
        seeder = Seeder(
            self,
            company=company,
            project=project,
            first_id=company.first_id + block * MAX_SEEDED_ROWS + 1,
            count=count,
            rng=random.Random(f"{self._settings.seed}:{resource.name}:{owner.id}"),
        )
        return Collection(resource.seed(seeder))
