"""Downloads that break off midway: the rest is asked for, exactly, or the break is told."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from doubles.agent_bench import Bench, bench
from doubles.fake_procore import Reply, Seen
from doubles.fake_storage import CONTENT, FakeStorage


@pytest.fixture
async def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("cloud_connect_agent.procore.attempts._RETRY_PAUSE", 0.001)
    monkeypatch.setattr("cloud_connect_agent.procore.files.downloads._RESUME_PAUSE", 0.001)
    async with bench(tmp_path) as made:
        yield made


async def test_a_body_that_breaks_off_goes_on_where_it_did(
    agent: Bench, storage: FakeStorage
) -> None:
    agent.procore.api.then(storage.leads_here())
    storage.cuts = [100_000, 200_000, 1, None]
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.trailers is None
    assert answer.body == CONTENT
    asked = [seen.headers.get("range") for seen in storage.seen]
    last = len(CONTENT) - 1
    assert asked == [None, f"bytes=100000-{last}", f"bytes=300000-{last}", f"bytes=300001-{last}"]
    assert all(seen.headers["if-range"] == '"v1"' for seen in storage.seen[1:])
    assert len(agent.procore.api.seen) == 1


async def test_a_body_that_goes_on_never_takes_a_second_connection(
    tmp_path: Path, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.files.storage._MAX_TRANSFERS", 1)
    async with bench(tmp_path) as narrow:
        narrow.procore.api.then(storage.leads_here())
        storage.cuts = [1000, 1000]
        answer = await narrow.raw("GET", "rest/v1.0/files/1")
    assert answer.trailers is None
    assert answer.body == CONTENT


@pytest.mark.parametrize("at_the_api", [True, False])
async def test_a_body_that_only_stalls_goes_on_as_well(
    agent: Bench, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch, *, at_the_api: bool
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.files.downloads._STALL", 0.2)
    host = agent.procore.api if at_the_api else storage
    agent.procore.api.then(Reply(status=302, headers={"location": f"{host.url}/rest/v1.0/f/2"}))
    tag = {"etag": '"v1"'}
    rest = {**tag, "content-range": "bytes 2-3/4"}
    host.then(
        Reply(body=b"file", headers=tag, cut=2, hang=True),
        Reply(status=206, body=b"le", headers=rest),
    )
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert (answer.trailers, answer.body) == (None, b"file")
    assert host.seen[-1].headers["range"] == "bytes=2-3"


async def test_a_host_that_does_not_come_back_is_given_up_before_the_relay_does(
    agent: Bench, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.files.downloads._RESUME_SECONDS", 0.2)
    agent.procore.api.then(storage.leads_here())
    storage.then(Reply(body=CONTENT, headers={"etag": '"v1"'}, cut=1000), *[Reply(delay=0.5)] * 5)
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.body == CONTENT[:1000]
    assert answer.failure.code == "source_unavailable"
    assert len(storage.seen) == 2


async def test_a_part_that_the_caller_asked_for_goes_on_within_it(
    agent: Bench, storage: FakeStorage
) -> None:
    agent.procore.api.then(storage.leads_here())
    storage.cuts = [1000]
    answer = await agent.raw("GET", "rest/v1.0/files/1", headers=(("Range", "bytes=5000-9999"),))
    assert (answer.head.status, answer.body) == (206, CONTENT[5000:10_000])
    assert ("content-range", f"bytes 5000-9999/{len(CONTENT)}") in answer.head.headers
    assert storage.seen[1].headers["range"] == "bytes=6000-9999"


async def test_a_link_that_aged_meanwhile_is_renewed(agent: Bench, storage: FakeStorage) -> None:
    agent.procore.api.then(storage.leads_here("/old"), storage.leads_here("/new"))
    storage.cuts = [1000]
    serve = storage.default

    def aging(seen: Seen) -> Any:
        old = seen.target == "/old" and len(storage.seen) > 1
        return Reply(status=403, body=b"<Error/>") if old else serve(seen)

    storage.default = aging
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.trailers is None
    assert answer.body == CONTENT
    assert [seen.target for seen in storage.seen] == ["/old", "/old", "/new"]


@pytest.mark.parametrize("kind", ["changed", "no ranges", "weak", "no tag"])
async def test_what_cannot_go_on_exactly_is_told_to_be_broken(
    agent: Bench, storage: FakeStorage, kind: str
) -> None:
    agent.procore.api.default = lambda _: storage.leads_here()
    storage.cuts = [1000]
    serve = storage.default

    def first(seen: Seen) -> Any:
        reply = serve(seen)
        assert isinstance(reply, Reply)
        if kind == "changed":
            storage.etag, storage.content = '"v2"', bytes(len(CONTENT))
        return reply

    storage.then(first)
    storage.resumable = kind != "no ranges"
    if kind in {"weak", "no tag"}:
        storage.etag = 'W/"v1"' if kind == "weak" else ""
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.body == CONTENT[:1000]
    assert answer.failure.code == "source_unavailable"
    assert len(storage.seen) == (6 if kind in {"changed", "no ranges"} else 1)


async def test_attempts_to_go_on_are_bounded(agent: Bench, storage: FakeStorage) -> None:
    agent.procore.api.then(storage.leads_here())
    storage.cuts = [10] * 50
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.body == CONTENT[:60]
    assert answer.failure.code == "source_unavailable"
