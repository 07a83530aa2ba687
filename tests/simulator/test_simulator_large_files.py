"""Files of any size pass through the storage origin in constant memory."""

import hashlib
import random
from collections.abc import Iterator

import httpx
import psutil
import pytest

from doubles.simulator_process import PROJECT, simulator_process
from doubles.storing import create_upload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

BLOCK = random.Random(7).randbytes(1024 * 1024)
BLOCKS = 64
QUERY = {"project_id": PROJECT}


def blocks() -> Iterator[bytes]:
    for _ in range(BLOCKS):
        yield BLOCK


def test_memory_does_not_grow_with_the_file() -> None:
    digest = hashlib.sha256()
    for block in blocks():
        digest.update(block)
    size = BLOCKS * len(BLOCK)
    with simulator_process() as simulator, simulator.client() as api:
        process = psutil.Process(simulator.pid)
        declared = {"size": size, "sha256": digest.hexdigest()}
        created = create_upload(api, response_filename="big.bin", segments=[declared])
        (segment,) = created["segments"]
        before = process.memory_info().rss
        sent = httpx.put(
            segment["url"],
            content=blocks(),
            headers=segment["headers"],
            timeout=30,
            trust_env=False,
        )
        assert sent.status_code == 200, sent.text
        one = f"/rest/v1.1/projects/{PROJECT}/uploads/{created['uuid']}"
        done = api.patch(one, json={"segments": [{"etag": sent.headers["etag"]}]})
        assert done.json()["status"] == "complete"
        body = {"file": {"name": "big.bin", "upload_uuid": created["uuid"]}}
        file = api.post("/rest/v1.0/files", params=QUERY, json=body).json()
        address = api.get(file["file_versions"][0]["url"]).headers["location"]
        came = hashlib.sha256()
        with httpx.stream("GET", address, timeout=30, trust_env=False) as answer:
            for part in answer.iter_raw():
                came.update(part)
        grown = process.memory_info().rss - before
    assert came.hexdigest() == digest.hexdigest()
    assert grown < size // 4
