"""A browser without scripts: keeps cookies, reads tokens out of forms, follows what it is told."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from doubles.relay_node import PASSWORD, Node

__all__ = ["Browser", "browser", "browser_at"]

_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


class Browser:
    """One person's browser at a relay's console."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Open a page of the console."""
        return await self.client.get(f"/console{path}", headers={"Accept": "text/html", **headers})

    async def csrf(self) -> str:
        """Read the token out of a page, as its forms carry it."""
        found = _TOKEN.search((await self.get("/")).text)
        assert found is not None, "nobody is signed in"
        return found[1]

    async def post(
        self,
        path: str,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> httpx.Response:
        """Send a form of the console, with its token unless another one is given."""
        sent = {**fields, "csrf": await self.csrf() if token is None else token}
        return await self.client.post(f"/console{path}", data=sent, headers=headers)

    async def sign_in(
        self, username: str = "admin", password: str = PASSWORD, *, back: str = ""
    ) -> httpx.Response:
        """Send the sign-in's form."""
        return await self.client.post(
            "/console/sign-in", data={"username": username, "password": password, "next": back}
        )

    @property
    def cookie(self) -> str | None:
        """The session's cookie."""
        return self.client.cookies.get("cloud_connect_session")


@asynccontextmanager
async def browser(node: Node, *, sign_in: bool = True) -> AsyncIterator[Browser]:
    """Open a browser at *node*, signed in as its administrator unless told otherwise."""
    async with browser_at(node.addresses.api_url, username="admin" if sign_in else None) as opened:
        yield opened


@asynccontextmanager
async def browser_at(url: str, *, username: str | None = "admin") -> AsyncIterator[Browser]:
    """Open a browser at a relay, signed in as somebody unless that is ``None``."""
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        opened = Browser(client)
        if username is not None:
            assert (await opened.sign_in(username)).status_code == 303
        yield opened
