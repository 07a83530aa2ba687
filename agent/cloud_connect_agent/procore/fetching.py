"""Sends the requests of one call, whatever they are for."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

import orjson

from cloud_connect.calls import Source
from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.procore.failures import restated
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse

__all__ = ["Client", "Fetcher"]

_PAGE_TIMEOUT: Final = 60.0  # seconds that a page of a running answer may take


class Client(Protocol):
    """What is needed of the Procore client."""

    async def request(
        self, request: ApiRequest, *, source: Source, deadline: float, interactive: bool = True
    ) -> ApiResponse:
        """Send one request and return its 2xx answer."""
        ...


class Fetcher:
    """One call's way to Procore: its source, deadline and urgency.

    Args:
        deadline: On *clock*, for the requests that come before the answer begins.
        seed: What is the same for each repeat of the call; ``None`` if nothing is.
    """

    def __init__(
        self,
        client: Client,
        source: Source,
        *,
        deadline: float,
        interactive: bool,
        seed: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client: Final = client
        self.source: Final = source
        self._deadline: Final = deadline
        self._interactive: Final = interactive
        self.seed: Final = seed
        self._sent: Final[Counter[str]] = Counter()
        self._clock: Final = clock

    async def send(self, request: ApiRequest, *, answering: bool = False) -> ApiResponse:
        """Send a request.

        Args:
            answering: Whether the answer has begun; then the request has time of its own,
                since an answer that makes progress is not cut, and lets others begin theirs first.

        Raises:
            CloudConnectError: What it failed with; Procore's refusal says what was refused.
        """
        deadline = self._deadline
        if answering:
            deadline = max(deadline, self._clock() + _PAGE_TIMEOUT)
        if request.idempotent and self.seed is not None:
            token = self._token_of(request, self.seed)
            request = replace(request, headers=(*request.headers, ("Idempotency-Token", token)))
        try:
            return await self._client.request(
                request,
                source=self.source,
                deadline=deadline,
                interactive=self._interactive and not answering,
            )
        except CloudConnectError as error:
            told = restated(error, request.about)
            if told is error:
                raise
            raise told from error

    def _token_of(self, request: ApiRequest, seed: str) -> str:
        """A token that a repeat of the call gives to the same request, and nothing else gets.

        One call may mean to make two records that are alike, so the count is part of it.
        """
        said = orjson.dumps([seed, request.method, request.path, request.query, request.json])
        digest = hashlib.sha256(said).hexdigest()[:32]
        self._sent[digest] += 1
        return f"cc-{digest}-{self._sent[digest]}"
