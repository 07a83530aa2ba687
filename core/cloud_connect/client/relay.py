"""The relay as its callers see it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_connect.client.call_record import CallRecord
from cloud_connect.client.data_source import DataSource
from cloud_connect.client.protection import Pin, Protection, Request
from cloud_connect.client.wire import Wire
from cloud_connect.client.writes import Writes
from cloud_connect.errors import ConfigurationError, RemoteProtocolError
from cloud_connect.loopback import is_loopback
from cloud_connect.signing import SigningKey

__all__ = ["CloudConnect", "DataSourceFacts"]

_MOST_SECONDS: Final = 300.0  # that a relay gives a call
_LOOKUP_SECONDS: Final = 10.0


class DataSourceFacts(BaseModel):
    """A data source as the relay lists it."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    id: str
    title: str
    status: str
    use_connector: bool = Field(alias="useConnector")


class _Page(BaseModel):
    items: tuple[DataSourceFacts, ...]


class CloudConnect:
    """A relay and an API key of it; open it with :meth:`open`."""

    def __init__(self, http: httpx.AsyncClient, *, timeout: float) -> None:
        self._wire: Final = Wire(http)
        self._writes: Final = Writes(self._wire, self.call_with_key)
        self._timeout: Final = timeout

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        api_key: str,
        *,
        timeout: float = 60.0,  # noqa: ASYNC109 - of each call, and the relay is told of it
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> AsyncIterator[Self]:
        """Open connections to a relay.

        Args:
            url: Its address; plain http is for loopback addresses only.
            timeout: Seconds that a call may take, 300 at most.
            tls: Whom to trust, if not the authorities that httpx does.
            transport: What carries requests instead of the network.

        Raises:
            ConfigurationError: If the address or the key cannot be used.
        """
        if not (api_key.isascii() and api_key.isprintable() and api_key == api_key.strip()):
            raise ConfigurationError(
                "The API key holds a line break, a space or a character that keys have not: give "
                "it as it was shown."
            )
        async with httpx.AsyncClient(
            base_url=_checked(url),
            headers={"Authorization": f"Bearer {api_key}"},
            verify=True if tls is None else tls,
            transport=transport,
            follow_redirects=False,
        ) as http:
            yield cls(http, timeout=min(timeout, _MOST_SECONDS))

    def data_source(
        self,
        datasource_id: str,
        *,
        pin: Pin | None = None,
        signing_key: SigningKey | None = None,
    ) -> DataSource:
        """Return the calls of a data source.

        Args:
            pin: What you know of its connector by another way; with a sealing key, calls are
                sealed to it.
            signing_key: Signs each call for the pinned connector.

        Raises:
            ConfigurationError: If they do not fit together.
        """
        if not datasource_id.replace("_", "").isalnum():
            raise ConfigurationError(f"{datasource_id[:64]!r} is no id of a data source.")
        protection = Protection(datasource_id, pin=pin, signing_key=signing_key)
        return DataSource(self._wire, self._writes, protection, timeout=self._timeout)

    async def data_sources(self) -> tuple[DataSourceFacts, ...]:
        """List the data sources of the key's subscription.

        Raises:
            CloudConnectError: Why not.
        """
        body = await self._get("/api/datasources")
        try:
            return _Page.model_validate_json(body).items
        except ValidationError as exc:
            raise RemoteProtocolError("The relay's list of data sources is malformed.") from exc

    async def call(self, call_id: str) -> CallRecord:
        """Return what became of a call.

        Raises:
            NotFoundError: If the subscription has no such call.
        """
        if not call_id.replace("_", "").isalnum():
            raise ConfigurationError(f"{call_id[:64]!r} is no id of a call.")
        return _record_of(await self._get(f"/api/calls/{call_id}"))

    async def call_with_key(self, key: str) -> CallRecord:
        """Return what became of the latest attempt with an idempotency key.

        Raises:
            NotFoundError: If there was none within the last 24 hours.
        """
        return _record_of(await self._get("/api/calls", ("idempotency_key", key)))

    async def _get(self, path: str, *query: tuple[str, str]) -> bytes:
        request = Request(method="GET", path=path, query=query, headers={}, body=b"")
        _, body = await self._wire.collect(request, seconds=_LOOKUP_SECONDS)
        return body


def _record_of(body: bytes) -> CallRecord:
    try:
        return CallRecord.model_validate_json(body)
    except ValidationError as exc:
        raise RemoteProtocolError("The relay's record of the call is malformed.") from exc


def _checked(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise ConfigurationError("The relay's address is no URL.") from exc
    if parsed.scheme == "https" and parsed.host:
        return parsed
    if parsed.scheme == "http" and is_loopback(parsed.host):
        return parsed
    raise ConfigurationError("The relay's address must be https://…; http is for loopback only.")
