"""What the simulator is told at its start, and what may be changed while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "ENVIRONMENTS",
    "Behaviour",
    "ErrorType",
    "LinkHost",
    "ProcessingWord",
    "SimulatorSettings",
    "TooLargePage",
    "UnauthorizedShape",
    "WindowKind",
]

ENVIRONMENTS = ("developer_sandbox", "live", "monthly_sandbox")
"""Every environment there is; the first is the one demos use."""


class UnauthorizedShape(StrEnum):
    """The body of a 401 on a v1 path, which no public source settles."""

    ERRORS = "errors"
    OAUTH = "oauth"
    EMPTY = "empty"


class WindowKind(StrEnum):
    """How rate limits forget requests: one by one, or all at the window's end."""

    SLIDING = "sliding"
    FIXED = "fixed"


class TooLargePage(StrEnum):
    """What happens to a ``per_page`` above a list's maximum, which no public source settles."""

    CLAMP = "clamp"
    REFUSE = "refuse"


class ErrorType(StrEnum):
    """The content type of the answer to a missing company header."""

    TEXT = "text"
    JSON = "json"


class LinkHost(StrEnum):
    """Where the links in records lead: to the API origin, which redirects, or to storage."""

    API = "api"
    STORAGE = "storage"


class ProcessingWord(StrEnum):
    """What a unified upload is called while it is being processed; sources differ."""

    COMPLETE = "complete"
    SCANNING = "scanning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The switches that ``POST /state`` may change while the simulator runs.

    A limit of 0 means unlimited; the rate headers are sent all the same.

    Args:
        default_page_size: Of lists that page; 0 leaves each its own.
        uploader_tool: Whether a unified upload must name its tool.
        wrong_verb_status: 405, or 404 as for an unknown path.
        duplicate_status: The status of a repeated ``origin_id``.
        put_as_patch: Whether PUT is taken as an alias of PATCH.
        one_service_token: Whether a new service token ends the ones before it.
        basic_auth: Whether the token endpoint takes HTTP Basic credentials.
        scopes: What token info lists, comma-separated.
        max_body_bytes: The largest body of an API request; above it 413.
        link_seconds: How long the links in records are good.
        redirect_hops: How many redirects there are from a link to the bytes.
        url_seconds: How long the addresses of segments are good.
        scan_seconds: How long a unified upload is processed before it is available.
        storage_ranges: Whether the storage origin serves byte ranges.
    """

    latency_ms: float = 0.0
    spike_limit: int = 0
    spike_seconds: float = 10.0
    hourly_limit: int = 0
    hourly_seconds: float = 3600.0
    window: WindowKind = WindowKind.SLIDING
    retry_after: bool = True
    token_lifetime: float = 5400.0
    link_keeps_query: bool = False
    unauthorized_shape: UnauthorizedShape = UnauthorizedShape.ERRORS
    invalid_grant_status: int = 400
    missing_company_status: int = 400
    missing_company_type: ErrorType = ErrorType.TEXT
    too_large_page: TooLargePage = TooLargePage.CLAMP
    refuse_unknown_filters: bool = False
    default_page_size: int = 0
    uploader_tool: bool = False
    duplicate_status: int = 422
    wrong_verb_status: int = 405
    put_as_patch: bool = False
    one_service_token: bool = False
    basic_auth: bool = True
    scopes: str = ""
    max_body_bytes: int = 64 * 1024 * 1024
    auto_approve: bool = False
    link_host: LinkHost = LinkHost.API
    link_seconds: float = 3600.0
    redirect_hops: int = 1
    redirect_status: int = 302
    url_seconds: float = 3600.0
    scan_seconds: float = 0.0
    processing_word: ProcessingWord = ProcessingWord.COMPLETE
    storage_ranges: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """Addresses, data volume and the first behaviour.

    Args:
        environments: Which to serve; the first gets ``port`` and ``login_port``,
            the others free ports.
        rows: How many rows a resource starts with in the demo project.
        started_at: Where the simulator's clock starts, ``None`` for real time.
        audit_size: How many requests the audit log remembers.
        max_stored_bytes: How many bytes of uploaded files are kept, on disk.
    """

    host: str = "127.0.0.1"
    port: int = 0
    login_port: int = 0
    admin_port: int = 0
    storage_port: int = 0
    environments: tuple[str, ...] = ENVIRONMENTS
    seed: int = 1
    rows: Mapping[str, int] = field(default_factory=dict)
    started_at: float | None = None
    audit_size: int = 20_000
    max_stored_bytes: int = 4 * 1024**3
    redirect_uris: tuple[str, ...] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
