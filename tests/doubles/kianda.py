"""Kianda as it calls a custom connector; its crypto is OpenSSL's command line, none of ours."""

import base64
import json
import os
import subprocess
import uuid
from dataclasses import dataclass
from typing import Any

import httpx

__all__ = ["Kianda", "decrypted", "encrypted", "signature"]

ZERO_IV = bytes(16)


def _openssl(*arguments: str, stdin: bytes) -> bytes:
    return subprocess.run(
        ["openssl", *arguments], input=stdin, capture_output=True, check=True, timeout=20
    ).stdout


def encrypted(key: bytes, iv: bytes, text: bytes) -> bytes:
    """AES-256-CBC with PKCS7."""
    return _openssl("enc", "-aes-256-cbc", "-K", key.hex(), "-iv", iv.hex(), stdin=text)


def decrypted(key: bytes, iv: bytes, bag: bytes) -> bytes:
    """The reverse; fails on wrong padding."""
    return _openssl("enc", "-d", "-aes-256-cbc", "-K", key.hex(), "-iv", iv.hex(), stdin=bag)


def signature(key: bytes, request_id: str) -> str:
    """Base64 of HMAC-SHA256."""
    arguments = ("dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary")
    return base64.b64encode(_openssl(*arguments, stdin=request_id.encode())).decode()


@dataclass(kw_only=True)
class Kianda:
    """One custom connector as the platform keeps it: URLs, the secret, and the settings.

    Attributes:
        http: Sends no bearer token.
        user: Whom the next requests are for.
        settings: What an administrator entered, or what the last answer brought back.
    """

    http: httpx.AsyncClient
    dialect: str
    secret: str
    test_url: str
    metadata_url: str
    query_url: str
    settings: dict[str, Any]
    user: str | None = "anna@example.com"

    @classmethod
    def of(
        cls, http: httpx.AsyncClient, made: dict[str, Any], settings: dict[str, Any]
    ) -> "Kianda":
        """Take what the relay answered to the registration."""
        names = ("dialect", "secret", "test_url", "metadata_url", "query_url")
        return cls(http=http, settings=settings, **{name: made[name] for name in names})

    @classmethod
    async def register(
        cls,
        api: httpx.AsyncClient,
        http: httpx.AsyncClient,
        settings: dict[str, Any],
        **members: Any,
    ) -> "Kianda":
        """Register a custom connector at the relay that *api* is an administrator's client of."""
        made = await api.post("/api/custom-connectors", json={"title": "Kianda", **members})
        assert made.status_code == 201, made.text
        return cls.of(http, made.json(), settings)

    @property
    def key(self) -> bytes:
        """The AES and HMAC key."""
        return base64.b64decode(self.secret) if self.dialect == "A" else self.secret.encode()

    def sealed(self, text: bytes | None = None) -> dict[str, str]:
        """The settings (or *text*), encrypted as the next request will carry them."""
        plain = json.dumps(self.settings).encode() if text is None else text
        iv = os.urandom(16) if self.dialect == "A" else ZERO_IV
        bag = base64.b64encode(encrypted(self.key, iv, plain)).decode()
        if self.dialect == "B":
            return {"encryptedSettingsPropertyBag": bag}
        return {"encryptedSettingsPropertyBag": bag, "iv": base64.b64encode(iv).decode()}

    def request(self, action: str, query: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request as the platform posts it."""
        return {
            "subscriptionId": "3e5a1c9e-kianda",
            "userId": self.user,
            "requestId": str(uuid.uuid4()),
            "action": action,
            "query": query,
            **self.sealed(),
        }

    async def post(self, url: str, request: dict[str, Any]) -> httpx.Response:
        """Send a request."""
        return await self.http.post(url, json=request)

    def opened(self, answer: httpx.Response, request: dict[str, Any]) -> dict[str, Any]:
        """Check an answer as the platform does, keep its settings, return its result."""
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["requestId"] == request["requestId"]
        signed = signature(self.key, request["requestId"])
        assert told["signature"] == told["queryResult"]["signature"] == signed
        assert ("iv" in told) == (self.dialect == "A")
        iv = base64.b64decode(told["iv"]) if "iv" in told else ZERO_IV
        if self.dialect == "A":
            assert told["iv"] != request["iv"]
        bag = base64.b64decode(told["encryptedSettingsPropertyBag"])
        self.settings = json.loads(decrypted(self.key, iv, bag))
        result: dict[str, Any] = told["queryResult"]
        assert isinstance(result["success"], bool)
        assert isinstance(result["items"], list)
        assert isinstance(result["resultCount"], str)
        assert isinstance(result["message"], str)
        assert isinstance(result["data"], dict)
        return result

    async def test(self) -> dict[str, Any]:
        """Press *Test connection*."""
        request = self.request("Test")
        return self.opened(await self.post(self.test_url, request), request)

    async def metadata(self) -> dict[str, Any]:
        """Ask what there is to pick from."""
        request = self.request("Metadata")
        return self.opened(await self.post(self.metadata_url, request), request)

    async def query(self, **query: Any) -> dict[str, Any]:
        """Run a rule's query."""
        request = self.request("Query", query)
        return self.opened(await self.post(self.query_url, request), request)
