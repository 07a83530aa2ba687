"""Pages in a browser that are held to what a good page never does.

A test fails at its end if a page wrote an error or a warning to the browser's console (a breach of
the content security policy is one), raised an exception, failed to load something, was refused
something, or asked anything of another origin. What a test provokes, it announces before::

    visit.expect(422)     # an answer with this status will come
"""

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    Response,
    StorageState,
)

from doubles.console_bed import Bed, Person

__all__ = ["BROWSER_TEST", "Cookies", "Visit", "Visits", "sign_in"]

Cookies = dict[Person, StorageState]  # of everybody who has signed in

# What a module of browser tests sets ``pytestmark`` to. The worker's first test starts everything.
BROWSER_TEST: Final = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(300),
    pytest.mark.slow,
    pytest.mark.system,
]
PATIENCE: Final = 15_000.0  # milliseconds: the machine may be busy with other tests
_STATUS: Final = re.compile(r"responded with a status of (\d{3})\b")
_OWN: Final = ("data:", "blob:", "about:")  # what a page makes itself
# What ends with the page that asked for it, a stream of events for example.
_LEFT: Final = "net::ERR_ABORTED"


@dataclass(kw_only=True)
class Visit:
    """One page of one browser context, and everything that went wrong in it.

    Attributes:
        origin: The only place that it may ask, such as ``http://127.0.0.1:8080``.
        faults: What is held against it at the end.
        requests: The addresses that it asked.
        seen: The statuses from 400 on that it was answered with.
    """

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    _expected: Collection[int] = ()

    def watch(self, expected: Collection[int]) -> None:
        """Note from now on what the page does, and what was not expected of it."""
        self._expected = expected
        context = self.page.context
        context.on("console", self._console)
        context.on("weberror", lambda error: self.faults.append(f"exception: {error.error}"))
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        status = _STATUS.search(message.text)
        if status is not None and int(status[1]) in self._expected:
            return
        place = message.location["url"].removeprefix(self.origin)
        self.faults.append(f"{message.type} in the console: {message.text} ({place})")

    def _request(self, request: Request) -> None:
        if request.url.startswith(_OWN):
            return
        self.requests.append(request.url)
        if not request.url.startswith(f"{self.origin}/"):
            self.faults.append(f"asked another origin: {request.method} {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != _LEFT:
            self.faults.append(f"did not load: {request.url} ({request.failure})")

    def _answered(self, response: Response) -> None:
        if response.status < 400:
            return
        self.seen.add(response.status)
        if response.status not in self._expected:
            # Also what the browser's console is silent about.
            path = response.url.removeprefix(self.origin)
            self.faults.append(f"answered {response.status}: {response.request.method} {path}")


class Visits:
    """Opens pages for one test::

        page = await visit("operator", "/console/connectors")
        page = await visit(None, "/console/sign-in", dark=True, width=360)

    Attributes:
        last: The visit that was opened last.
    """

    def __init__(self, browser: Browser, bed: Bed, cookies: Cookies) -> None:
        self.last: Visit | None = None
        self._browser: Final = browser
        self._bed: Final = bed
        self._cookies: Final = cookies
        self._visits: Final[list[Visit]] = []
        self._expected: Final[set[int]] = set()

    def expect(self, status: int) -> None:
        """Announce that a page will be answered with a status from 400 on."""
        self._expected.add(status)

    async def __call__(
        self,
        who: str | Person | None,
        path: str = "/console/",
        *,
        dark: bool = False,
        width: int = 1280,
        height: int = 800,
        scripts: bool = True,
    ) -> Page:
        """Open a page in a browser that has seen nothing before but this person's session.

        Args:
            who: A role, a person, or nobody. They have signed in once for all tests.
            scripts: Whether JavaScript runs.
        """
        person = self._bed.people[who] if isinstance(who, str) else who
        context = await self._browser.new_context(
            base_url=self._bed.origin,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            locale="en-GB",
            storage_state=self._cookies.get(person) if person else None,
        )
        context.set_default_timeout(PATIENCE)
        self.last = Visit(page=await context.new_page(), origin=self._bed.origin)
        self._visits.append(self.last)
        self.last.watch(self._expected)
        page = self.last.page
        await page.goto(path)
        if person is not None and urlsplit(page.url).path.endswith("/sign-in"):
            await sign_in(page, person)
            self._cookies[person] = await context.storage_state()
        return page

    async def close(self) -> None:
        """Close all pages; fail with what went wrong in any of them."""
        faults: list[str] = []
        seen: set[int] = set()
        for visit in self._visits:
            await _settled(visit.page)
            await visit.page.context.close()
            faults += visit.faults
            seen |= visit.seen
        faults += [f"no answer came with status {one}" for one in self._expected - seen]
        assert not faults, "\n  ".join(("what no page may do:", *faults))


async def sign_in(page: Page, person: Person) -> None:
    """Fill in the form that the page shows, and send it."""
    await page.get_by_label("User name").fill(person.username)
    await page.get_by_label("Password").fill(person.password)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(lambda url: not urlsplit(url).path.endswith("/sign-in"))


async def _settled(page: Page) -> None:
    """Have the page say what it still has to say: messages come one after the other."""
    with suppress(Error):  # the test closed it, or it shows a download
        await page.title()
