"""Who is shown the token for a download: Procore's own domain, as it demands, and nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest

from cloud_connect.calls import Environment, Source
from cloud_connect.errors import DeadlineExceededError, PolicyDeniedError
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.files.downloads import Downloads, Wanted
from cloud_connect_agent.procore.files.hosts import FileUrl, HostRefusedError
from cloud_connect_agent.procore.files.storage import Storage
from cloud_connect_agent.procore.messages import plain_headers
from cloud_connect_agent.procore.streaming import StreamedResponse
from cloud_connect_agent.procore.transport import RawHeaders
from cloud_connect_agent.settings import AccountSettings, ProcoreSettings
from doubles.fake_procore import FakeProcore, MemoryVault

LIVE = Source(company_id=8089, environment=Environment.LIVE)
S3 = "https://s3.amazonaws.com/b/k?X-Amz-Signature=s"


class Recorded(Storage):
    """Storage on the internet, played: statuses by host, and who was shown what."""

    def __init__(self, client: ProcoreClient) -> None:
        super().__init__(client)
        self.asked: list[tuple[str, bytes | None]] = []
        self.answers: dict[str, list[httpx.Response]] = {}

    def open(  # type: ignore[override]
        self, method: str, url: FileUrl, *, headers: RawHeaders, **_: object
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        assert method == "GET"
        self.asked.append((url.host, dict(headers).get(b"authorization")))

        @asynccontextmanager
        async def opened() -> AsyncIterator[StreamedResponse]:
            answers = self.answers.get(url.host)
            response = answers.pop(0) if answers else httpx.Response(200)
            yield StreamedResponse(
                response,
                headers=plain_headers(response.headers),
                write=False,
                host=url.host,
                hold=0.0,
                deadline=0.0,
                clock=lambda: 0.0,
            )

        return opened()


@pytest.fixture
async def client() -> AsyncIterator[ProcoreClient]:
    async with FakeProcore().serve() as procore:
        vault = MemoryVault()
        vault.secrets["procore-app/live"] = b'{"client_id": "a", "client_secret": "s"}'
        section = procore.settings.environments["developer-sandbox"]
        login = section.model_copy(update={"api_url": None})
        accounts = {"site": AccountSettings(companies=(7070,))}
        login = login.model_copy(update={"accounts": accounts})
        settings = ProcoreSettings(environments={"live": login})
        async with ProcoreClient.open(settings, vault, spread=lambda: 0.0) as made:
            await made.authenticator.sign_in(Environment.LIVE)
            yield made


@pytest.fixture
def storage(client: ProcoreClient) -> Recorded:
    return Recorded(client)


async def status_of(
    client: ProcoreClient,
    storage: Recorded,
    link: str,
    *,
    deadline: float = 1e12,
    denied: bool = False,
    source: Source = LIVE,
) -> int:
    def allow(_: str) -> None:
        if denied:
            raise PolicyDeniedError("No.")

    async def renew(_: float) -> str:
        return link

    wanted = Wanted(source=source, headers=(), deadline=deadline, allow=allow, renew=renew)
    async with Downloads(client, storage).open(wanted, link) as file:
        return file.status


def moved(location: str) -> httpx.Response:
    return httpx.Response(302, headers={"location": location})


async def test_procores_domain_is_shown_the_token_and_its_object_store_is_not(
    client: ProcoreClient, storage: Recorded
) -> None:
    storage.answers["storage.procore.com"] = [moved(S3)]
    assert await status_of(client, storage, "https://storage.procore.com/v4/1") == 200
    assert storage.asked == [
        ("storage.procore.com", b"Bearer token-1"),
        ("s3.amazonaws.com", None),
    ]


async def test_the_token_is_of_the_account_that_the_company_is_bound_to(
    client: ProcoreClient, storage: Recorded
) -> None:
    await client.authenticator.sign_in(Environment.LIVE, account="site")
    theirs = Source(company_id=7070, environment=Environment.LIVE)
    for source in (theirs, LIVE):
        await status_of(client, storage, "https://storage.procore.com/v4/1", source=source)
    assert [shown for _, shown in storage.asked] == [b"Bearer token-2", b"Bearer token-1"]


async def test_a_token_is_got_if_there_is_none_yet(
    client: ProcoreClient, storage: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.reload()
    await status_of(client, storage, "https://us02.procore.com/x")
    assert storage.asked[0][1] is not None

    async def never(_: Environment, __: int) -> None:
        await asyncio.Event().wait()

    client.reload()
    monkeypatch.setattr(client.authenticator, "token", never)
    with pytest.raises(DeadlineExceededError):
        await status_of(client, storage, "https://us02.procore.com/x", deadline=0.0)


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_signed_link_that_takes_no_token_is_asked_without(
    client: ProcoreClient, storage: Recorded, status: int
) -> None:
    storage.answers["storage.procore.com"] = [httpx.Response(status)]
    assert await status_of(client, storage, "https://storage.procore.com/v4/1") == 200
    assert [shown for _, shown in storage.asked] == [b"Bearer token-1", None]


async def test_the_api_on_a_web_host_is_what_raw_calls_may_have(
    client: ProcoreClient, storage: Recorded
) -> None:
    link = "https://app.procore.com/%72est/v1.0/companies/1/users"
    with pytest.raises(PolicyDeniedError):
        await status_of(client, storage, link, denied=True)
    assert storage.asked == []
    assert await status_of(client, storage, "https://app.procore.com/9/file", denied=True) == 200


async def test_a_redirect_out_of_the_domain_is_refused(
    client: ProcoreClient, storage: Recorded
) -> None:
    storage.answers["storage.procore.com"] = [moved("https://evil.example/")]
    with pytest.raises(HostRefusedError):
        await status_of(client, storage, "https://storage.procore.com/v4/1")
    assert [host for host, _ in storage.asked] == ["storage.procore.com"]
