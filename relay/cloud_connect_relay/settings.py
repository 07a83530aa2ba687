"""The relay's settings: a frozen tree, read once by the command line."""

import contextlib
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from cloud_connect.live_secrets import learn_secret
from cloud_connect.loopback import is_loopback
from cloud_connect_relay.paths import RelayPaths

__all__ = [
    "ApiSettings",
    "AuditSettings",
    "AuthSettings",
    "CallSettings",
    "LogSettings",
    "RelaySettings",
    "TunnelSettings",
    "UpdateSettings",
]

MEBIBYTE: Final = 1024 * 1024

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApiSettings(_Section):
    """The HTTP listener.

    Attributes:
        max_body_bytes: Largest body of a management request.
        max_header_bytes: Largest request line and headers together.
        head_timeout: Seconds a request has until its headers are complete.
        body_timeout: The same for the body of a management request; of one that needs no
            credential, it is *head_timeout*.
        max_pending: Connections that have not sent a request's headers yet.
        max_pending_per_source: The same, of one address; without one it is not counted, since
            callers share theirs.
        keep_alive_timeout: Seconds an idle connection stays open.
        max_event_streams: Readers of one subscription's events (``GET /api/events``) at once.
        event_heartbeat: Seconds after which a reader to whom nothing happened gets a sign of life.
        trusted_proxies: Addresses whose ``X-Forwarded-For`` names the caller; with a
            ``public_url`` and without TLS of our own, loopback is one.
    """

    max_body_bytes: int = Field(default=MEBIBYTE, ge=1024)
    max_header_bytes: int = Field(default=64 * 1024, ge=4096)
    head_timeout: Seconds = 8
    body_timeout: Seconds = 30
    keep_alive_timeout: Seconds = 75
    max_pending: int = Field(default=1000, ge=1)
    max_pending_per_source: int | None = Field(default=None, ge=1)
    max_event_streams: int = Field(default=200, ge=1)
    event_heartbeat: Seconds = 15
    trusted_proxies: tuple[str, ...] | None = None


class AuthSettings(_Section):
    """Credentials of callers.

    Attributes:
        cache_timeout: Seconds a credential is believed without a look at the store: the
            longest that a revoked one still works, unless the store is out of reach.
        failures_per_minute: Failed attempts of one source before it gets 429.
        token_lifetime: Seconds a token of ``POST /Token`` lives.
        session_idle_timeout: Seconds without a request after which the console asks to sign in
            again.
        session_lifetime: Seconds after which it does in any case.
    """

    cache_timeout: Annotated[float, Field(ge=0, le=5)] = 3
    failures_per_minute: int = Field(default=10, ge=1)
    token_lifetime: int = Field(default=299, ge=1, le=86_400)
    session_idle_timeout: Annotated[float, Field(ge=1, le=86_400)] = 3600
    session_lifetime: Annotated[float, Field(ge=1, le=7 * 86_400)] = 12 * 3600


class TunnelSettings(_Section):
    """The listener that agents dial.

    Attributes:
        edge_certs: Certificates (PEM) of proxies in front, which agents see instead of ours.
        max_pending: Sockets that have not authenticated yet.
        max_pending_per_source: The same, of one address.
        handshakes_per_second: More than that are told to come back later.
        upgrade_timeout: Seconds from its connection until a socket has asked for the upgrade.
        auth_timeout: Seconds from its connection until an agent has proven itself.
        echo_interval: Seconds between two echoes through each session's whole stack.
    """

    edge_certs: tuple[Path, ...] = ()
    max_pending: int = Field(default=1000, ge=1)
    max_pending_per_source: int = Field(default=20, ge=1)
    handshakes_per_second: int = Field(default=200, ge=1)
    upgrade_timeout: Seconds = 5
    auth_timeout: Seconds = 8
    echo_interval: Seconds = 60


class CallSettings(_Section):
    """Calls on their way to a connector.

    Attributes:
        default_deadline: Seconds a call has unless its caller says less.
        max_deadline: The longest a caller may ask for.
        connector_wait: The longest wait for a connector that was seen a moment ago.
        max_running: Calls of one subscription that run at once, unless its quota says.
        cancel_burst: Calls that a key may begin and abandon within ten seconds; if they are more,
            and more than half of those that it began, it is refused until they are fewer.
        max_dispatched: Calls of one connector that its agent works on at once: its 32 reads and
            8 writes; of a key that sends alone nearly twice as many. What
            takes longer than a second to be read by its caller counts no more.
        max_dispatched_per_node: The same, of all connectors together.
        max_queued: Calls that wait for their turn at a connector; one more is refused.
        max_queued_bytes: Bytes of their bodies.
        max_body_bytes: Largest record or query body; the pass-through has no limit.
        insert_window: Seconds for which the same insert of the platform, without a key, is
            taken for the one that was just answered; 0: only while that one runs.
        retention: Seconds that call records are kept; at least the 24 hours for which a repeat
            finds its idempotency key in them.
    """

    default_deadline: Seconds = 60
    max_deadline: Seconds = 300
    connector_wait: Seconds = 15
    max_running: int = Field(default=1024, ge=1)
    cancel_burst: int = Field(default=100, ge=1)
    max_dispatched: int = Field(default=40, ge=1, le=1024)
    max_dispatched_per_node: int = Field(default=4096, ge=1)
    max_queued: int = Field(default=1024, ge=1)
    max_queued_bytes: int = Field(default=16 * MEBIBYTE, ge=1024)
    max_body_bytes: int = Field(default=100 * MEBIBYTE, ge=1024)
    insert_window: Annotated[float, Field(ge=0, le=60)] = 2
    retention: Annotated[float, Field(ge=86_400)] = 7 * 86_400


class AuditSettings(_Section):
    """The audit log.

    Attributes:
        retention: Seconds that records are kept; what is deleted then, a record says.
    """

    retention: Annotated[float, Field(ge=86_400)] = 400 * 86_400


class UpdateSettings(_Section):
    """What agents are told that ask for a newer version; nobody installs anything by it.

    Attributes:
        latest: The version that the operator recommends; without one, agents are told of none.
        notes: Where a person reads about it, and finds it.
    """

    latest: Annotated[str, Field(pattern=r"^\d{1,6}(\.\d{1,6}){1,3}$")] | None = None
    notes: Annotated[str, Field(pattern=r"^https://[!-~]{1,500}$")] | None = None


class LogSettings(_Section):
    """What goes to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class RelaySettings(_Section):
    """Everything a relay can be told.

    Attributes:
        public_url: Where the relay is reached, when that is not where it binds.
        database_url: The store; a SQLite file in the data folder unless set.
        node: This process's name among several.
        drain_timeout: Seconds that running calls have after SIGTERM.
        drain_notice: Seconds of them in which it goes on as before but says at ``/readyz`` that it
            will not for long: what a load balancer in front needs to look elsewhere.
    """

    data_dir: Path
    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Port = 8080
    tunnel_port: Port = 8081
    public_url: str | None = None
    database_url: SecretStr | None = None
    node: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] = "node-1"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    drain_timeout: Seconds = 30
    drain_notice: Annotated[float, Field(ge=0, le=20)] = 0
    api: ApiSettings = ApiSettings()
    auth: AuthSettings = AuthSettings()
    tunnel: TunnelSettings = TunnelSettings()
    calls: CallSettings = CallSettings()
    audit: AuditSettings = AuditSettings()
    update: UpdateSettings = UpdateSettings()
    log: LogSettings = LogSettings()

    @field_validator("public_url")
    @classmethod
    def _public_url_is_an_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("write it as https://relay.example.com")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ValueError("it must not have a query, a fragment or a user name")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("plain http is for loopback addresses only; use https")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key come together; give both or neither")
        return self

    @model_validator(mode="after")
    def _plain_http_stays_on_loopback(self) -> Self:
        behind_tls = self.public_url is not None and self.public_url.startswith("https://")
        if not (is_loopback(self.host) or self.secure or behind_tls):
            raise ValueError(
                f"host {self.host} is not loopback, so TLS is needed; give --tls-cert and"
                " --tls-key, or --public-url https://… if a proxy in front ends TLS"
            )
        return self

    @property
    def secure(self) -> bool:
        """Whether the listeners speak TLS themselves."""
        return self.tls_cert is not None

    @property
    def alone(self) -> bool:
        """Whether the store is the data folder's own file, which only one process may serve."""
        return self.database_url is None

    def model_post_init(self, _: object, /) -> None:
        """Keep the store's password out of every log of this process."""
        if self.database_url is not None:
            with contextlib.suppress(ValueError):  # no URL: the engine says so
                password = urlsplit(self.database_url.get_secret_value()).password or ""
                learn_secret(password, unquote(password))

    @property
    def paths(self) -> RelayPaths:
        """Where the files are."""
        return RelayPaths(data_dir=self.data_dir)

    @property
    def database(self) -> str:
        """The URL of the store."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.paths.database}"
