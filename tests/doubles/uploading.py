"""Procore's side of uploads: makes them, hands out places at a storage, tells how far they are."""

from typing import Any

import orjson

from doubles.agent_bench import Bench
from doubles.fake_procore import Reply, Seen
from doubles.fake_storage import FakeStorage

__all__ = ["Uploading"]


class Uploading:
    """Procore's side of uploads."""

    def __init__(self, agent: Bench, storage: FakeStorage) -> None:
        self.storage = storage
        self.asked: list[tuple[str, str, Any]] = []
        self.statuses = ["complete", "scanning", "available"]
        agent.procore.api.default = self.answer

    def answer(self, seen: Seen) -> Reply:
        body = orjson.loads(seen.body) if seen.body else None
        self.asked.append((seen.method, seen.target, body))
        if "/rest/v2.1/" in seen.target:
            return Reply(status=201, body={"data": self.unified(seen.method, body)})
        if seen.method == "PATCH":
            return Reply(body={"uuid": "01UUID", "status": "complete"})
        if body and "segments" in body:
            return Reply(status=201, body={"uuid": "01UUID", "segments": self.parts(body)})
        fields = {"key": "k/1", "Content-Type": "application/pdf", "policy": "p=="}
        url = f"{self.storage.url}/bucket"
        return Reply(status=201, body={"uuid": "01UUID", "url": url, "fields": fields})

    def unified(self, method: str, body: Any) -> dict[str, Any]:
        if method == "POST":
            return {"upload_id": "01ULID", "status": "ready", "segments": self.parts(body)}
        return {"upload_id": "01ULID", "status": self.statuses.pop(0)}

    def parts(self, body: Any) -> list[dict[str, Any]]:
        return [
            {
                "url": f"{self.storage.url}/part/{number}?sig=x",
                "headers": {
                    "Host": "127.0.0.1",
                    "content-length": str(one["size"]),
                    "x-amz-sha": one["sha256"],
                },
            }
            for number, one in enumerate(body["segments"])
        ]
