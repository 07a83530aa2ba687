"""The agent's settings: one frozen tree, read once from file and environment."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from cloud_connect.calls import MAX_ID, Environment
from cloud_connect.errors import ConfigurationError
from cloud_connect.host_names import ASCII_FORM, is_host
from cloud_connect.loopback import is_loopback
from cloud_connect_agent.proxies import ProxySettings
from cloud_connect_agent.settings_faults import SettingsFault, faults_of
from cloud_connect_agent.settings_sources import SettingsSources

__all__ = [
    "ACCOUNT_NAME",
    "DEFAULT_REDIRECT_URI",
    "AccountSettings",
    "AgentSettings",
    "AuditSettings",
    "EnvironmentSettings",
    "LogSettings",
    "PolicySettings",
    "ProcoreSettings",
    "RelaySettings",
    "TunnelSettings",
    "VaultSettings",
    "check_redirect_uri",
    "check_url",
    "judge_settings",
    "load_settings",
    "read_sources",
]

# Below the ports that systems hand out for outgoing connections, and nobody's registered one.
DEFAULT_REDIRECT_URI: Final = "http://localhost:17633/callback"
ACCOUNT_NAME: Final = r"^[a-z0-9][a-z0-9-]{0,31}$"  # a part of names in the vault, too


def check_url(url: str, *, schemes: tuple[str, str] = ("http", "https")) -> str:
    """Return *url* without a trailing slash if calls may go there.

    Raises:
        ValueError: If it is no such URL, or plain text would leave this machine.
    """
    plain, secure = schemes
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        shown = "it" if "@" in url else repr(url)  # which may hold a password
        raise ValueError(f"{shown} is not a URL") from exc
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not hold a user name or password")
    if parts.scheme not in schemes or not host or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not a URL that begins with {secure}://")
    if not is_host(host):
        raise ValueError(f"{host!r} in {url!r} can be no host's name; {ASCII_FORM}")
    if parts.scheme == plain and not is_loopback(host):
        raise ValueError(f"{plain}:// is for loopback addresses only; use {secure}:// for {host}")
    return url.rstrip("/")


def check_redirect_uri(uri: str) -> str:
    """Return *uri* if a browser on this PC, and on no other, comes back to it.

    Raises:
        ValueError: If it is no such URI.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ValueError(f"{uri!r} is not a URI") from exc
    # Procore compares it to the letter and takes plain http for this name alone.
    if parts.scheme != "http" or host != "localhost" or port == 0 or parts.username is not None:
        raise ValueError(f"{uri!r} does not begin with http://localhost")
    if parts.query or parts.fragment or not uri.isascii() or len(uri) > 2000:
        raise ValueError(f"{uri!r} may hold a port and a path only")
    return uri


HttpUrl = Annotated[str, AfterValidator(check_url)]
TunnelUrl = Annotated[str, AfterValidator(partial(check_url, schemes=("ws", "wss")))]
StorageHost = Annotated[
    str, Field(pattern=r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$")
]
Seconds = Annotated[float, Field(gt=0, le=3600)]
CompanyId = Annotated[int, Field(gt=0, le=MAX_ID)]
AccountName = Annotated[str, Field(pattern=ACCOUNT_NAME)]
LoopbackUri = Annotated[str, AfterValidator(check_redirect_uri)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RelaySettings(_Section):
    """Which relay this agent belongs to; ``enrol`` writes all of it.

    Attributes:
        url: What a person typed.
        tunnel_url: Where the agent dials, as the relay said.
        relay_public_key: The pinned key of the relay, URL-safe base64.
        follow_tunnel: Whether the relay is asked for its tunnel's address where nothing answers.
        allow_intercepted: Whether a proxy in between, whose authority this PC trusts, may read
            the tunnel.
        key_id: Of the key that enrolled; the vault knows which one is in use.
        rotate_key_days: How old the agent's key may become; 0 for any age.
    """

    url: HttpUrl | None = None
    tunnel_url: TunnelUrl | None = None
    connector_id: str | None = None
    key_id: str | None = None
    relay_id: str | None = None
    relay_public_key: str | None = None
    ca_file: Path | None = None
    allow_intercepted: bool = False
    follow_tunnel: bool = True
    rotate_key_days: float = Field(default=90.0, ge=0, le=3650)

    @property
    def enrolled(self) -> bool:
        """Whether there is a relay to dial."""
        return self.connector_id is not None and self.tunnel_url is not None


class AccountSettings(_Section):
    """One identity at Procore, beside others.

    Attributes:
        companies: Whose calls use it.
        login: Whom it has to act for; somebody else's sign-in is refused.
    """

    companies: tuple[CompanyId, ...] = Field(default=(), max_length=1000)
    login: str | None = Field(default=None, min_length=1, max_length=320)


class EnvironmentSettings(_Section):
    """Where one Procore environment answers, and as whom this PC uses it.

    ``None`` means Procore's own addresses.

    Attributes:
        storage_hosts: Hosts that file bytes may come from and go to, beside Procore's known
            ones: names, or ``*.`` and a domain.
        redirect_uri: Where the browser comes back to on this PC, as registered at Procore.
        accounts: By name; ``default`` serves the companies that no other is bound to.
    """

    api_url: HttpUrl | None = None
    login_url: HttpUrl | None = None
    ca_file: Path | None = None
    storage_hosts: tuple[StorageHost, ...] = Field(default=(), max_length=50)
    redirect_uri: LoopbackUri = DEFAULT_REDIRECT_URI
    accounts: dict[AccountName, AccountSettings] = Field(default_factory=dict, max_length=9)

    @field_validator("accounts")
    @classmethod
    def _bind_once(cls, accounts: dict[str, AccountSettings]) -> dict[str, AccountSettings]:
        """Refuse a company that two accounts are bound to: which one would it be?"""
        bound: dict[int, str] = {}
        for name, account in accounts.items():
            for company in account.companies:
                other = bound.setdefault(company, name)
                if other != name:
                    raise ValueError(f"company {company} is bound to {other!r} and {name!r}")
        return accounts

    @field_validator("storage_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Take a list with commas, as environment variables have it."""
        return [one.strip() for one in value.split(",")] if isinstance(value, str) else value


class ProcoreSettings(_Section):
    """How the agent talks to Procore.

    Attributes:
        max_spool_bytes: Of the files that have to be on disk before they can be uploaded.
        tree_cache_seconds: For how long the custom fields that a company told of are used again;
            0 asks for each tree.
        remote_authorize: Whether a person may sign this PC in through the relay.
        upserts: Resources whose records are created through Procore's sync, known by an
            ``origin_id`` of ours, so that a create with a key can be repeated.
        probe_seconds: After so long without a good answer an account asks Procore who it is; 0
            never does.
    """

    environments: dict[str, EnvironmentSettings] = Field(default_factory=dict)
    remote_authorize: bool = True
    read_concurrency: int = Field(default=32, ge=1, le=256)
    write_concurrency: int = Field(default=8, ge=1, le=64)
    max_spool_bytes: int = Field(default=2 * 2**30, ge=0, le=128 * 2**30)
    upserts: tuple[Annotated[str, Field(max_length=64)], ...] = Field(default=(), max_length=100)
    tree_cache_seconds: float = Field(default=60.0, ge=0, le=86400)
    probe_seconds: float = Field(default=300.0, ge=0, le=86400)

    @field_validator("upserts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Take a list with commas, as environment variables have it."""
        return [one.strip() for one in value.split(",")] if isinstance(value, str) else value

    @field_validator("environments", mode="before")
    @classmethod
    def _know_names(cls, value: object) -> object:
        """Take ``developer_sandbox``, which environment variables need, for its flag."""
        if not isinstance(value, dict):
            return value
        named = {str(name).replace("_", "-"): section for name, section in value.items()}
        known = [environment.flag for environment in Environment]
        for name in named:
            if name not in known:
                raise ValueError(f"{name!r} is no environment; there are {', '.join(known)}")
        return named

    def environment(self, environment: Environment) -> EnvironmentSettings:
        """Return the environment's section, empty if there is none."""
        return self.environments.get(environment.flag, EnvironmentSettings())


class TunnelSettings(_Section):
    """Dialling, backing off and draining; seconds."""

    # Just below the relay's own bounds of 10, 5 and 10 seconds.
    connect_timeout: Seconds = 9.5
    upgrade_timeout: Seconds = 4.5
    handshake_timeout: Seconds = 9.5
    backoff_base: Seconds = 1.0
    backoff_cap: Seconds = 60.0
    healthy_after: Seconds = 60.0
    drain_timeout: Seconds = 25.0
    round_trip_interval: Seconds = 15.0


class LogSettings(_Section):
    """How much is logged, and how much of it is kept.

    Attributes:
        max_file_bytes: After that a new file begins.
        max_file_hours: So old does a file become before a new one begins; 24 is one for each
            day (UTC).
        files: How many files are kept, the newest included.
        keep_days: Files that were written last before that are deleted.
        max_total_bytes: Of all files; the oldest go first.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    max_file_bytes: int = Field(default=5 * 1024 * 1024, ge=1024)
    max_file_hours: float = Field(default=24.0, ge=1, le=8760)
    files: int = Field(default=31, ge=1, le=100)
    keep_days: float = Field(default=30.0, ge=1, le=3650)
    max_total_bytes: int = Field(default=20 * 1024 * 1024, ge=1024)


class VaultSettings(_Section):
    """Where the key that opens the vault is.

    Attributes:
        key: ``auto`` takes the best that this machine has when the vault is made.
        credentials_dir: Where systemd hands credentials over, as its own variable says.
    """

    key: Literal[
        "auto", "systemd-credential", "secret-service", "keychain", "dpapi", "key-file"
    ] = "auto"
    credentials_dir: Path | None = None


class AuditSettings(_Section):
    """How long the audit log is kept."""

    retention_days: float = Field(default=400.0, ge=1.0)
    max_bytes: int = Field(default=1024 * 1024 * 1024, ge=64 * 1024 * 1024)


class PolicySettings(_Section):
    """Whose the policy file is.

    Attributes:
        owner: ``administrator`` refuses a file that the account which runs the agent could
            change; services set it.
    """

    owner: Literal["administrator", "any"] = "any"


class AgentSettings(_Section):
    """All settings of the agent.

    Attributes:
        name: How the relay lists this PC.
    """

    name: str = Field(default="", max_length=200)
    relay: RelaySettings = RelaySettings()
    proxy: ProxySettings = ProxySettings()
    procore: ProcoreSettings = ProcoreSettings()
    tunnel: TunnelSettings = TunnelSettings()
    vault: VaultSettings = VaultSettings()
    policy: PolicySettings = PolicySettings()
    log: LogSettings = LogSettings()
    audit: AuditSettings = AuditSettings()


def load_settings(
    file: Path,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> AgentSettings:
    """Read the settings: flags, then ``CLOUD_CONNECT_…`` variables, then *file*, then defaults.

    Args:
        flags: Nested mappings, shaped as the file is.

    Raises:
        ConfigurationError: If something is unknown or wrong; the message names it.
    """
    settings, faults = judge_settings(read_sources(file, environ=environ, flags=flags))
    if settings is None:
        raise ConfigurationError(faults[0].sentence)
    return settings


def read_sources(
    file: Path,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> SettingsSources:
    """Read what each source says.

    Raises:
        ConfigurationError: If the file cannot be used, or holds what it must not.
    """
    sources = SettingsSources.read(
        file, environ=environ or {}, flags=flags or {}, sections=AgentSettings.model_fields
    )
    proxy = sources.from_file.get("proxy")
    if isinstance(proxy, dict) and "password" in proxy:
        raise ConfigurationError(
            f"{file.name} is no place for proxy.password: set proxy.password_file, or the"
            " variable CLOUD_CONNECT_PROXY__PASSWORD."
        )
    return sources


def judge_settings(sources: SettingsSources) -> tuple[AgentSettings | None, list[SettingsFault]]:
    """Return the settings, or all that is wrong with them."""
    try:
        return AgentSettings.model_validate(sources.merged()), []
    except ValidationError as exc:
        return None, faults_of(exc, sources, AgentSettings)
