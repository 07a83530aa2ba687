"""The vocabulary of calls: what a relay may ask an agent for, as pydantic models.

A call's :class:`Operation` stands in the request head, its parameters (one of the models
below) in the head's ``params``; bodies travel as DATA.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cloud_connect.errors import Outcome

__all__ = [
    "AttachParams",
    "AuthorizeAnswer",
    "AuthorizeParams",
    "CallParams",
    "ContentParams",
    "DryRunParams",
    "Environment",
    "Filter",
    "JournalParams",
    "Operation",
    "PassthroughParams",
    "QueryParams",
    "RecordId",
    "RecordParams",
    "RedeemAnswer",
    "RedeemBody",
    "Report",
    "ReportedBudget",
    "ReportedCircuit",
    "ReportedGrant",
    "ReportedResult",
    "ReportedResults",
    "ResultsAnswer",
    "Source",
    "SourceParams",
    "UploadFlow",
    "UploadParams",
]

MAX_BUDGETS: int = 8  # of one account in a report, which is to stay small
MAX_CIRCUITS: int = 4
MAX_RESULTS: int = 50  # in one message, which is to stay small
MAX_ID: int = 2**63 - 1  # Procore's ids are 64-bit integers

RecordId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Environment(StrEnum):
    """A Procore environment, as data sources name it."""

    LIVE = "live"
    MONTHLY_SANDBOX = "monthly_sandbox"
    DEVELOPER_SANDBOX = "developer_sandbox"

    @property
    def flag(self) -> str:
        """The same name as command lines and TOML write it: ``monthly-sandbox``."""
        return self.replace("_", "-")


class Operation(StrEnum):
    """What a stream asks for; the first word after the dot is a verb of records.

    Dry runs are operations of their own: an agent that does not know them refuses them,
    where it would overlook a flag and write.
    """

    TEST = "test"
    TREE = "tree"
    DRIFT = "drift"
    QUERY = "query"
    QUERY_DRY_RUN = "query.dry_run"
    LIST = "records.list"
    GET = "records.get"
    CREATE = "records.create"
    UPDATE = "records.update"
    DELETE = "records.delete"
    ATTACHMENTS = "records.attachments"
    ATTACH = "records.attach"
    CONTENT = "files.content"
    UPLOAD = "files.upload"
    DRY_RUN = "records.dry_run"
    PASSTHROUGH = "passthrough"
    SEALED = "sealed"
    AUTHORIZE = "authorize"
    REDEEM = "redeem"
    JOURNAL = "journal"
    REPORT = "report"
    RESULTS = "results"
    AUDIT = "audit"
    ECHO = "echo"


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Source(_Wire):
    """Where a data source's calls go: the company, its environment, a default project."""

    company_id: int = Field(gt=0, le=MAX_ID)
    environment: Environment
    project_id: int | None = Field(default=None, gt=0, le=MAX_ID)


class CallParams(_Wire):
    """What every call of the relay carries.

    Attributes:
        source: The data source's binding.
        replay_only: Answer from the journal, execute nothing.
        interactive: A person waits for it; bulk calls wait behind.
        again: It may have been carried out before, by this agent or another: only what makes
            no second record, however often it is carried out, may be done.
    """

    source: Source
    replay_only: bool = False
    interactive: bool = True
    again: bool = False


class SourceParams(CallParams):
    """``test``, ``tree`` and ``drift``: the answer is one JSON document.

    Attributes:
        refresh: Ask the source for its metadata, whatever is known of it already.
    """

    refresh: bool = False


class QueryParams(CallParams):
    """``query``: the body is the platform's query object; the answer one row a line.

    Attributes:
        seed: The same for each repeat with an idempotency key; new records can be known by it.
    """

    seed: str | None = Field(default=None, pattern=r"^[0-9a-f]{16,64}$")


class Filter(_Wire):
    """One condition of ``records.list``; all of them must hold."""

    field: str = Field(min_length=1, max_length=200)
    operator: str = Field(default="eq", max_length=20)
    value: str | None = Field(default=None, max_length=4096)


class RecordParams(CallParams):
    """``records.*``: one resource, its scope ids, and what a list may ask for.

    Attributes:
        scope: Ids that say where the resource lives, such as ``{"project_id": "12"}``.
        sort: Field names, ``-`` before one sorts descending.
        limit: At most so many rows; ``None`` is all.
        seed: As of a query.
    """

    resource: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    record_id: RecordId | None = None
    scope: dict[str, str] = Field(default_factory=dict, max_length=16)
    filters: tuple[Filter, ...] = Field(default=(), max_length=100)
    sort: tuple[str, ...] = Field(default=(), max_length=10)
    fields: tuple[str, ...] | None = Field(default=None, max_length=500)
    limit: int | None = Field(default=None, ge=0)
    seed: str | None = Field(default=None, pattern=r"^[0-9a-f]{16,64}$")


class DryRunParams(RecordParams):
    """``records.dry_run``: what *verb* would change; the body is what it would write."""

    verb: Literal["create", "update", "delete"]


class UploadFlow(StrEnum):
    """How Procore takes a file's bytes."""

    SIMPLE = "simple"
    SEGMENTED = "segmented"
    UNIFIED = "unified"


class ContentParams(RecordParams):
    """``files.content``: the bytes of a file that a record links to.

    Attributes:
        field: The field that links to it, such as ``attachments.0.url``; ``None`` is the
            record's own file.
    """

    field: str | None = Field(default=None, max_length=200)


class UploadParams(CallParams):
    """``files.upload``: the body is the file; the answer says how a record refers to it.

    Attributes:
        project_id: Where it is uploaded; ``None`` is to the source's project, else the company.
        resource: What it is meant to hang on, if that is known: its policy holds.
        tool: What Procore calls the tool it is for, where it asks for that.
    """

    filename: str = Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")
    content_type: str = Field(
        default="application/octet-stream",
        max_length=200,
        pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(; ?[A-Za-z0-9-]+=[A-Za-z0-9._-]+)*$",
    )
    project_id: int | None = Field(default=None, gt=0, le=MAX_ID)
    flow: UploadFlow = UploadFlow.SIMPLE
    tool: str | None = Field(default=None, pattern=r"^[a-z_]{1,64}$")
    resource: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]{0,63}$")


class AttachParams(RecordParams):
    """``records.attach``: hang an uploaded file on a record.

    Attributes:
        upload: Its ``uuid`` or ``upload_id``.
    """

    upload: str = Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")


class PassthroughParams(CallParams):
    """``passthrough``: a raw Procore request, as far as the local policy allows it.

    Attributes:
        target: Path and query exactly as the caller sent them, from ``rest/`` on.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    target: str = Field(max_length=8192)


class AuthorizeParams(CallParams):
    """``authorize``: begin to sign a person in; the answer is an :class:`AuthorizeAnswer`.

    Attributes:
        redirect_uri: Where Procore sends the person's browser back to: the relay.
    """

    redirect_uri: str = Field(min_length=1, max_length=2000)


class AuthorizeAnswer(_Wire):
    """Where the person's browser has to go; its ``state`` comes back with the code."""

    authorize_url: str = Field(min_length=1, max_length=8192)


class RedeemBody(_Wire):
    """The body of ``redeem`` (parameters: :class:`SourceParams`): what came back, as it came."""

    code: str = Field(min_length=1, max_length=4096, pattern=r"^[\x21-\x7e]+$", repr=False)
    state: str = Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$", repr=False)


class RedeemAnswer(_Wire):
    """The sign-in that came of it.

    Attributes:
        login: Whom it acts for.
        machine: The name of the agent's PC.
    """

    login: str = Field(default="", max_length=320)
    machine: str = Field(default="", max_length=253)


class JournalParams(_Wire):
    """``journal``: what became of the call; answered with outcome, status and body if kept.

    Attributes:
        age_ms: How long ago it was sent to the agent. A journal that does not reach so far back
            does not say of a call that it was not executed.
    """

    call_id: str = Field(max_length=64)
    age_ms: int | None = Field(default=None, ge=0)


class ReportedBudget(_Wire):
    """What is left of one of Procore's rate limits, as its last answer said.

    Attributes:
        resets_at: When it is whole again; ``None`` if it is.
    """

    company_id: int
    limit: int = Field(ge=0)
    remaining: int = Field(ge=0)
    resets_at: AwareDatetime | None = None


class ReportedCircuit(_Wire):
    """A company that the agent asks only now and then, since Procore refuses the app there.

    Attributes:
        status: What Procore answered: 401, or 403 if the app is not connected.
        reason: Procore's words.
        retry_at: When the next request goes out.
    """

    company_id: int
    status: int
    reason: str = Field(max_length=300)
    retry_at: AwareDatetime


class ReportedGrant(_Wire):
    """One Procore account of an agent, without its secrets.

    Attributes:
        budget: Of the companies asked lately, the tightest limit first.
        account: Its name on the agent's PC.
        login: Whom a code grant acts for.
        last_contact_at: When Procore last gave it a good answer, by the PC's clock; ``None`` if
            that is not known.
        last_contact_ms: How long that answer took.
    """

    environment: Environment
    account: str = Field(default="default", max_length=32)
    grant: Literal["client-credentials", "authorization-code"]
    client_id: str = Field(default="", max_length=200)
    login: str = Field(default="", max_length=320)
    state: Literal["ready", "sign_in_required", "no_grant", "at_risk"] = "ready"
    expires_at: AwareDatetime | None = None
    budget: tuple[ReportedBudget, ...] = Field(default=(), max_length=MAX_BUDGETS)
    circuits: tuple[ReportedCircuit, ...] = Field(default=(), max_length=MAX_CIRCUITS)
    last_contact_at: AwareDatetime | None = None
    last_contact_ms: float | None = Field(default=None, ge=0)


class ReportedResult(_Wire):
    """What became of a write, as its agent's journal has it.

    Attributes:
        code: Of the failure that was its answer, if it was one.
        already_absent: It deleted what an earlier attempt of it had deleted.
    """

    call_id: str = Field(max_length=64)
    outcome: Outcome
    status: int | None = Field(default=None, ge=100, le=999)
    code: str | None = Field(default=None, max_length=64)
    detail: str | None = Field(default=None, max_length=500)
    already_absent: bool = False


class ReportedResults(_Wire):
    """``results``: writes that ended, until the relay says that it has them on disk."""

    results: tuple[ReportedResult, ...] = Field(max_length=MAX_RESULTS)


class ResultsAnswer(_Wire):
    """The ids that need not be told again; the others are, a little later."""

    acknowledged: tuple[str, ...] = Field(default=(), max_length=MAX_RESULTS)


class Report(_Wire):
    """What an agent tells its relay about itself, after connecting and on each change.

    Attributes:
        paused_until: When the pause ends by itself, by the relay's clock.
        problems: Sentences about what a person has to mend on the agent's PC.
        started_at: When its process began, by the PC's clock.
        clock_skew_seconds: How far that clock is ahead of the relay's.
        upserts: Resources whose keyed creates make no second record, however often they are
            carried out.
        sealing_key: What calls are sealed to, in base64url; to be compared with what the PC shows.
    """

    machine: str = Field(default="", max_length=253)
    os: str = Field(default="", max_length=200)
    version: str = Field(default="", max_length=50)
    paused: bool = False
    paused_until: AwareDatetime | None = None
    started_at: AwareDatetime | None = None
    clock_skew_seconds: float | None = None
    procore: tuple[ReportedGrant, ...] = Field(default=(), max_length=32)
    policy: dict[str, object] = Field(default_factory=dict)
    problems: tuple[Annotated[str, Field(max_length=500)], ...] = Field(default=(), max_length=8)
    upserts: tuple[Annotated[str, Field(max_length=64)], ...] = Field(default=(), max_length=100)
    sealing_key: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{43}$")
