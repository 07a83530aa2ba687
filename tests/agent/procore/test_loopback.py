"""The loopback listener: one browser, one state, both addresses, nobody else."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from cloud_connect.errors import ConfigurationError, SignInRequiredError
from cloud_connect_agent.procore.grants.accounts import Account
from cloud_connect_agent.procore.grants.authorization import Authorization
from cloud_connect_agent.procore.grants.loopback import Loopback, listen
from doubles.fake_procore import SANDBOX


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def attempt() -> Authorization:
    return Authorization(
        account=Account(environment=SANDBOX),
        client_id="app-1",
        login_url="http://127.0.0.1:1",
        redirect_uri=f"http://localhost:{free_port()}/callback",
    )


@pytest.fixture
async def listening(attempt: Authorization) -> AsyncIterator[Loopback]:
    async with listen(attempt) as made:
        yield made


def port_of(attempt: Authorization) -> int:
    return int(attempt.redirect_uri.rsplit(":", 1)[1].partition("/")[0])


async def browse(
    attempt: Authorization,
    query: str,
    *,
    start: str = "GET /callback{}",
    host: str | None = None,
    address: str = "127.0.0.1",
) -> str:
    port = port_of(attempt)
    reader, writer = await asyncio.open_connection(address, port)
    head = f"{start.format(query)} HTTP/1.1\r\nHost: {host or f'localhost:{port}'}\r\n\r\n"
    writer.write(head.encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_the_browser_hands_the_code_over_and_is_told_how_it_ended(
    attempt: Authorization, listening: Loopback, address: str
) -> None:
    visiting = asyncio.create_task(
        browse(attempt, f"?code=abc&state={attempt.state}", address=address)
    )
    callback = await listening.callback()
    assert callback.code == "abc"
    await callback.answer("Signed in", "As <ann@example.com>.")
    page = await visiting
    assert page.startswith("HTTP/1.1 200 ")
    assert "As &lt;ann@example.com&gt;." in page
    for header in (
        "cache-control: no-store",
        "referrer-policy: no-referrer",
        "default-src 'none'",
        "frame-ancestors 'none'",
    ):
        assert header in page
    assert "<script" not in page
    assert "abc" not in page


@pytest.mark.catalogue("T127")
@pytest.mark.parametrize(
    ("query", "start", "host", "status"),
    [
        (
            "?code=abc&state={}",
            "GET /callback{}",
            "localhost:{}\r\nOrigin: https://evil.example",
            403,
        ),
        ("?code=abc&state={}", "GET /callback{}", "localhost:{}\r\nOrigin: null", 403),
        ("?code=abc&state=wrong", "GET /callback{}", None, 403),
        ("?code=abc", "GET /callback{}", None, 403),
        ("?code=abc&state={}&state={}", "GET /callback{}", None, 403),
        ("?code=abc&state={}", "GET /callback{}", "evil.example", 403),
        ("?code=abc&state={}", "GET /callback{}", "127.0.0.1", 403),
        ("?code=abc&state={}", "POST /callback{}", None, 405),
        ("?code=abc&state={}", "GET /other{}", None, 404),
        ("?code=abc&state={}", "GET http://localhost/callback{}", None, 400),
        ("", "nonsense", None, 400),
    ],
)
async def test_what_is_not_the_browser_coming_back_is_refused(
    attempt: Authorization,
    listening: Loopback,
    query: str,
    *,
    start: str,
    host: str | None,
    status: int,
) -> None:
    if host is not None:
        host = host.replace("{}", str(port_of(attempt)))
    answer = await browse(attempt, query.replace("{}", attempt.state), start=start, host=host)
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "no-store" in answer
    assert not listening._callback.done()


async def test_a_second_visit_is_refused(attempt: Authorization, listening: Loopback) -> None:
    query = f"?code=abc&state={attempt.state}"
    first = asyncio.create_task(browse(attempt, query))
    callback = await listening.callback()
    assert (await browse(attempt, query)).startswith("HTTP/1.1 410 ")
    await callback.answer("Signed in")
    assert (await first).startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("query", "words"),
    [("error=access_denied", "Deny"), ("error=server_error", "without a code"), ("", "without")],
)
async def test_a_return_without_a_code_says_why(
    attempt: Authorization, listening: Loopback, query: str, words: str
) -> None:
    visiting = asyncio.create_task(browse(attempt, f"?{query}&state={attempt.state}"))
    callback = await listening.callback()
    with pytest.raises(SignInRequiredError, match=words):
        assert callback.code
    await callback.answer("Not signed in")
    await visiting


async def test_nobody_coming_back_ends_the_wait(listening: Loopback) -> None:
    with pytest.raises(SignInRequiredError, match="in time"):
        await listening.callback(within=0.01)


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
async def test_a_port_that_another_program_has_on_either_address_is_refused(
    attempt: Authorization, family: socket.AddressFamily, address: str
) -> None:
    with socket.socket(family) as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind((address, port_of(attempt)))
        squatter.listen()
        with pytest.raises(ConfigurationError, match="is taken"):
            async with listen(attempt):
                pass


async def test_the_port_is_free_again_afterwards(attempt: Authorization) -> None:
    for _ in range(2):
        async with listen(attempt) as made:
            visiting = asyncio.create_task(browse(attempt, f"?code=a&state={attempt.state}"))
            await (await made.callback()).answer("Signed in")
            await visiting


async def test_a_browser_that_says_nothing_holds_nothing_up(
    attempt: Authorization,
) -> None:
    async with listen(attempt):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(attempt))
    assert await reader.read() == b""
    writer.close()


async def test_no_crowd_of_connections_takes_the_listener_down(
    attempt: Authorization, listening: Loopback
) -> None:
    crowd = [await asyncio.open_connection("127.0.0.1", port_of(attempt)) for _ in range(40)]
    closed = [await reader.read() == b"" for reader, _ in crowd[-8:]]
    assert closed == [True] * 8
    for _, writer in crowd:
        writer.close()
    assert not listening._callback.done()


async def test_a_head_that_is_too_long_is_cut_off(
    attempt: Authorization, listening: Loopback
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(attempt))
    writer.write(b"GET /callback HTTP/1.1\r\nx: " + b"y" * 40_000)
    assert await reader.read() == b""
    writer.close()
    assert not listening._callback.done()


async def test_a_browser_that_has_gone_does_not_undo_the_sign_in(
    attempt: Authorization, listening: Loopback
) -> None:
    visiting = asyncio.create_task(browse(attempt, f"?code=abc&state={attempt.state}"))
    callback = await listening.callback()
    callback._writer.transport.abort()
    await callback.answer("Signed in")
    assert await visiting == ""
    assert callback.code == "abc"
