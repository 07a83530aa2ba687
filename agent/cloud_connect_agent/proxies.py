"""The company's proxy: which hosts are reached through it, and who told the agent so."""

import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from cloud_connect.errors import ConfigurationError
from cloud_connect.host_names import ASCII_FORM, is_host
from cloud_connect.live_secrets import learn_secret
from cloud_connect.loopback import is_loopback
from cloud_connect_agent.proxy_presence import ProxyPresence
from cloud_connect_agent.system_proxies import (
    MACHINES,
    Machine,
    bypassed,
    named_by_system,
    proxy_script,
)

__all__ = ["SETTING", "Proxies", "Proxy", "ProxySettings"]

SETTING: Final = "proxy.url"
_NO_PROXY: Final = "none"  # what proxy.url says to use none, whatever the system names
_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_MAX_PASSWORD_BYTES: Final = 1024
# What the system calls the scheme of a WebSocket: to a proxy both are the same tunnel.
_SCHEMES: Final = {"ws": "http", "wss": "https"}


class ProxySettings(BaseModel):
    """Which proxy stands between this PC and the internet.

    Attributes:
        url: ``http://host:port``; ``none`` for no proxy at all; ``None`` for what the system
            says (``HTTPS_PROXY`` and ``NO_PROXY``, on Windows its own settings).
        username: For Basic authentication, beside *url*.
        password: From the environment only: the file is not made for secrets.
        password_file: Holds the password, readable by the agent's account alone.
        no_proxy: Hosts that are reached directly in spite of *url*, by curl's rules.
        loopback: Whether *url* serves addresses of this PC, too.
        fallback_direct: Whether hosts are reached directly while nobody answers at the proxy,
            for a PC that is carried out of the company's network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = Field(default=None, max_length=2000)
    username: str = Field(default="", max_length=200)
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    no_proxy: tuple[str, ...] = Field(default=(), max_length=500)
    loopback: bool = False
    fallback_direct: bool = False

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is None or url == _NO_PROXY:
            return url
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as exc:
            raise ValueError("it is not a URL") from exc
        if parts.username is not None or parts.password is not None:
            raise ValueError("a URL must not hold a user name or password; set proxy.username")
        if parts.scheme != "http" or not host or parts.path.strip("/") or parts.query:
            raise ValueError("write it as http://proxy.example.com:3128, or none")
        if not is_host(host):
            raise ValueError(f"{host!r} can be no host's name; {ASCII_FORM}")
        return url.rstrip("/")

    @field_validator("username")
    @classmethod
    def _check_username(cls, username: str) -> str:
        if ":" in username or not username.isprintable():
            raise ValueError("a user name must not hold a colon or control characters")
        return username

    @field_validator("no_proxy", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Take a list with commas, as environment variables have it."""
        if not isinstance(value, str):
            return value
        return tuple(rule for rule in re.split(r"[,\s]+", value) if rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy and how to sign in there.

    Attributes:
        url: Without user and password: fit for logs and people.
        source: Which setting or variable names it.
    """

    url: str
    source: str
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """Its name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Its port."""
        parts = urlsplit(self.url)
        return parts.port or _DEFAULT_PORT[parts.scheme]

    @property
    def secure(self) -> bool:
        """Whether it wants TLS to itself."""
        return self.url.startswith("https:")

    @property
    def personal(self) -> bool:
        """Whether a shell's variable or a person's settings name it, which no service sees."""
        return self.source not in {SETTING, MACHINES}

    @property
    def sign_in(self) -> tuple[str, str] | None:
        """User and password, if there are any."""
        return (self.username, self.password) if self.username or self.password else None

    @property
    def authorization(self) -> str | None:
        """The value of ``Proxy-Authorization``, if there is a user."""
        if self.sign_in is None:
            return None
        return "Basic " + b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")


class Proxies:
    """Chooses the proxy for a URL, anew at each call: the system's settings may change."""

    def __init__(
        self,
        settings: ProxySettings | None = None,
        *,
        password: str = "",
        machine: Machine | None = None,
        presence: ProxyPresence | None = None,
    ) -> None:
        self._settings = settings or ProxySettings()
        self._password = password
        self._machine: Final = machine
        self._presence: Final = presence or ProxyPresence()

    @classmethod
    def of(cls, settings: ProxySettings) -> Self:
        """Take the settings, and the password from where they say.

        Raises:
            ConfigurationError: If the file with the password cannot be used.
        """
        return cls(settings, password=_password_of(settings))

    def follow(self, settings: ProxySettings) -> None:
        """Go by other settings from now on; connections that are open stay as they are.

        Raises:
            ConfigurationError: If the file with the password cannot be used; nothing changes.
        """
        self._password = _password_of(settings)
        self._settings = settings
        self._presence.forget()

    def choose(self, url: str) -> Proxy | None:
        """Return the proxy that is named for *url*; ``None`` if its host is reached directly.

        Raises:
            ConfigurationError: If what the system names is no proxy.
        """
        parts = urlsplit(url)
        host, settings = parts.hostname, self._settings
        if not host or settings.url == _NO_PROXY:
            return None
        if is_loopback(host) and not settings.loopback:
            return None  # no proxy of the company knows this machine's own addresses
        if settings.url is None:
            return self._of_system(_SCHEMES.get(parts.scheme, parts.scheme), host)
        if bypassed(host, settings.no_proxy):
            return None
        return Proxy(
            url=settings.url,
            source=SETTING,
            username=settings.username,
            password=self._password,
        )

    async def way(self, url: str, *, afresh: bool = False) -> Proxy | None:
        """Return the proxy to use for *url* now: with ``fallback_direct``, only one that is there.

        Args:
            afresh: Look now, whatever was found a moment ago.

        Raises:
            ConfigurationError: If what the system names is no proxy.
        """
        proxy = self.choose(url)
        if proxy is None or not self._settings.fallback_direct:
            return proxy
        there = await self._presence.look(proxy.host, proxy.port, afresh=afresh)
        return proxy if there else None

    def doubt(self) -> None:
        """Look anew the next time whether proxies are there: one has failed."""
        self._presence.forget()

    def describe(self, url: str | None) -> dict[str, object] | None:
        """Say for people which proxy is on the way to *url*, and what names it.

        ``bypassed`` is there, and true, while the fallback reaches hosts directly.
        """
        proxy = None if url is None else self.choose(url)
        if proxy is None:
            return None
        described: dict[str, object] = {"url": proxy.url, "source": proxy.source}
        if self._settings.fallback_direct and self._presence.away(proxy.host, proxy.port):
            described["bypassed"] = True
        return described

    def advice(self, url: str | None) -> str | None:
        """Say what the system wants of programs that this one does not do; ``None`` if nothing."""
        if self._settings.url is not None or url is None or self.choose(url) is not None:
            return None
        script = proxy_script(machine=self._machine)
        if script is None:
            return None
        shown = "".join(sign for sign in script if sign.isprintable())[:200]
        return (
            f"The system names a proxy script (PAC, {shown}), which Cloud Connect does not run: ask"
            f" IT which proxy it names for {urlsplit(url).hostname} and set that as proxy.url in"
            ' agent.toml, or "none".'
        )

    def _of_system(self, scheme: str, host: str) -> Proxy | None:
        named = named_by_system(scheme, host, machine=self._machine)
        if named is None:
            return None
        text, source = named.text, named.source
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            place = parts.hostname, parts.port
        except ValueError as exc:
            raise ConfigurationError(f"The proxy in {source} is not a URL.") from exc
        if parts.scheme not in _DEFAULT_PORT or not place[0]:
            raise ConfigurationError(
                f"The proxy in {source} must be of the form http://host:port; SOCKS is not"
                " supported."
            )
        if not is_host(place[0]):
            raise ConfigurationError(
                f"The proxy in {source} has {place[0]!r} for its host, which can be no host's"
                f" name; {ASCII_FORM}."
            )
        name = f"[{place[0]}]" if ":" in place[0] else place[0]
        password = unquote(parts.password or "")
        learn_secret(password)
        return Proxy(
            url=f"{parts.scheme}://{name}" + (f":{place[1]}" if place[1] else ""),
            source=source,
            username=unquote(parts.username or ""),
            password=password,
        )


def _password_of(settings: ProxySettings) -> str:
    password = settings.password.get_secret_value()
    if settings.password_file is not None:
        password = _read_password(settings.password_file)
    learn_secret(password)
    return password


def _read_password(file: Path) -> str:
    try:
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise ConfigurationError(
                f"{file} can be read by other accounts; run `chmod 600 {file}` and change"
                " the proxy's password."
            )
        with file.open("rb") as opened:
            return opened.read(_MAX_PASSWORD_BYTES).decode().rstrip("\r\n")
    except OSError as exc:
        raise ConfigurationError(f"{file} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{file} is not UTF-8 text.") from exc
