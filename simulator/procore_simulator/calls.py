"""One API call whose caller, company and project are settled."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from procore_simulator.auth import Principal
from procore_simulator.failures import missing_parameter, not_found
from procore_simulator.inputs import to_integer
from procore_simulator.messages import JsonObject, Request
from procore_simulator.records import Collection, Record
from procore_simulator.settings import Behaviour
from procore_simulator.storage.uploads import Upload
from procore_simulator.tenancy import Company, Level, Project
from procore_simulator.world import World

__all__ = ["Call"]


@dataclass(slots=True, kw_only=True)
class Call:
    """What a handler works with; ``record_id`` is what it says it touched."""

    request: Request
    world: World
    principal: Principal
    behaviour: Behaviour
    base_url: str
    params: Mapping[str, str]
    body: JsonObject
    company: Company | None = None
    project: Project | None = None
    level: Level = Level.ADMIN
    record_id: int | str | None = None
    claimed: list[Upload] = field(default_factory=list)
    """Uploads that become part of the record once it is stored."""

    @property
    def home(self) -> Company:
        """The company the call is about.

        Raises:
            ApiError: If the route belongs to none, which only a header can settle.
        """
        if self.company is None:
            raise missing_parameter("company_id")
        return self.company

    @property
    def site(self) -> Project:
        """The project the call is about.

        Raises:
            ApiError: If none was named.
        """
        if self.project is None:
            raise missing_parameter("project_id")
        return self.project

    @property
    def url(self) -> str:
        """The absolute address the caller asked for, without its query."""
        return f"{self.base_url}{self.request.path}"

    def item_id(self, name: str = "id") -> int:
        """Read an id from the path; what is no number finds nothing."""
        found = to_integer(self.params[name])
        if found is None:
            raise not_found()
        return found

    def collection(self, resource: str) -> Collection:
        """Return a resource's rows in this call's project or company."""
        return self.world.collection(resource, company=self.home, project=self.project)

    def lookup(self, resource: str, record_id: int) -> Record | None:
        """Find a row that a request refers to."""
        return self.collection(resource).get(record_id)

    def claim(self, upload_id: str) -> Upload:
        """Take an upload for the record that this call writes.

        Raises:
            ApiError: If it is unknown, another's, gone, or not whole.
        """
        upload = self.world.uploads.claim(upload_id, owner=self.principal.key)
        self.claimed.append(upload)
        return upload

    def settle(self) -> None:
        """Note that the record is stored: what it claimed is used up."""
        for upload in self.claimed:
            upload.attached = True
        self.claimed.clear()

    def actor(self) -> JsonObject:
        """Return ``{id, login, name}`` of whoever makes the call."""
        user = self.lookup("company_users", self.principal.user_id)
        if user is None:
            return {"id": self.principal.user_id, "login": None, "name": None}
        return {"id": user["id"], "login": user["email_address"], "name": user["name"]}

    def now(self) -> str:
        """Return the moment of the call as Procore writes it."""
        return self.world.clock.timestamp()
