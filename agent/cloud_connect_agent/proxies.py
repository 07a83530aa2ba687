"""The company's proxy: which hosts are reached through it, and who told the agent so."""

import ipaddress
import os
import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, getproxies_environment, proxy_bypass

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from cloud_connect.errors import ConfigurationError
from cloud_connect.live_secrets import learn_secret
from cloud_connect.loopback import is_loopback

__all__ = ["Proxies", "Proxy", "ProxySettings", "explain_refusal"]

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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = Field(default=None, max_length=2000)
    username: str = Field(default="", max_length=200)
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    no_proxy: tuple[str, ...] = Field(default=(), max_length=500)
    loopback: bool = False

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
        return tuple(_rules_in(value)) if isinstance(value, str) else value


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

    def __init__(self, settings: ProxySettings | None = None, *, password: str = "") -> None:
        self._settings = settings or ProxySettings()
        self._password = password

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

    def choose(self, url: str) -> Proxy | None:
        """Return the proxy for *url*; ``None`` if its host is reached directly."""
        parts = urlsplit(url)
        host, settings = parts.hostname, self._settings
        if not host or settings.url == _NO_PROXY:
            return None
        if is_loopback(host) and not settings.loopback:
            return None  # no proxy of the company knows this machine's own addresses
        if settings.url is None:
            return _of_system(_SCHEMES.get(parts.scheme, parts.scheme), host)
        if _bypassed(host, settings.no_proxy):
            return None
        return Proxy(
            url=settings.url,
            source="proxy.url",
            username=settings.username,
            password=self._password,
        )

    def describe(self, url: str | None) -> dict[str, str] | None:
        """Say for people which proxy is on the way to *url*, and what names it."""
        proxy = None if url is None else self.choose(url)
        return None if proxy is None else {"url": proxy.url, "source": proxy.source}


def explain_refusal(status: int, proxy: Proxy) -> str:
    """Say in a sentence why a proxy opened no tunnel."""
    name = f"The proxy {proxy.url}"
    if status in {401, 407}:  # tinyproxy says 401 of a wrong password
        if proxy.sign_in is not None:
            return f"{name} does not accept the user name or password (status {status})."
        return (
            f"{name} wants a user name and password (status {status}): set proxy.username and"
            " proxy.password_file."
        )
    if status == 403:
        return f"{name} does not allow this connection (status 403): ask who runs it."
    return f"{name} could not connect (status {status})."


def _password_of(settings: ProxySettings) -> str:
    password = settings.password.get_secret_value()
    if settings.password_file is not None:
        password = _read_password(settings.password_file)
    learn_secret(password)
    return password


def _of_system(scheme: str, host: str) -> Proxy | None:
    """Return what the environment names or, if it names none at all, the system."""
    named = getproxies_environment()
    source = "the system's settings"
    if named:
        chosen = scheme if scheme in named else "all"
        if _bypassed(host, _rules_in(named.get("no", ""))):
            return None
        source = f"{chosen.upper()}_PROXY"
    else:
        named = getproxies()
        chosen = scheme if scheme in named else "all"
        if chosen in named and proxy_bypass(host):
            return None
    text = named.get(chosen)
    if not text:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        place = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigurationError(f"The proxy in {source} is not a URL.") from exc
    if parts.scheme not in _DEFAULT_PORT or not place[0]:
        raise ConfigurationError(
            f"The proxy in {source} must be of the form http://host:port; SOCKS is not supported."
        )
    name = f"[{place[0]}]" if ":" in place[0] else place[0]
    return Proxy(
        url=f"{parts.scheme}://{name}" + (f":{place[1]}" if place[1] else ""),
        source=source,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def _rules_in(text: str) -> list[str]:
    return [rule for rule in re.split(r"[,\s]+", text) if rule]


def _bypassed(host: str, rules: Iterable[str]) -> bool:
    """Whether a rule names *host*: itself, a domain above it, its network, or ``*``."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    for rule in rules:
        if rule == "*":
            return True
        plain = rule.strip(".").lower()
        if address is None:
            if plain and (name == plain or name.endswith(f".{plain}")):
                return True
            continue
        try:
            network = ipaddress.ip_network(rule.strip("[]"), strict=False)
        except ValueError:
            continue
        if address in network:
            return True
    return False


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
