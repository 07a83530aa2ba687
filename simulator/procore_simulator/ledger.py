"""What really happened: executions at the moment of commit, every request, counters."""

import hashlib
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from procore_simulator.clock import iso_time
from procore_simulator.messages import JsonObject, Request

__all__ = ["AuditEntry", "Execution", "Ledger"]

_MARKER_FIELDS = ("origin_id", "subject", "title", "name", "number", "comment", "comments", "body")
"""Where a test or a person puts the text by which a record is found again."""
_KEPT_BODY_BYTES = 4096


@dataclass(slots=True, kw_only=True)
class AuditEntry:
    """One request as it was received, and how it ended."""

    id: int
    origin: str
    environment: str | None
    time: float
    method: str
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    body_bytes: int = 0
    body_sha256: str | None = None
    status: int | None = None
    executed: bool = False
    ended: str = "open"
    """``open``, ``answered``, ``disconnected`` (the caller left) or ``dropped`` (we cut it)."""
    fault: str | None = None

    def describe(self) -> JsonObject:
        """Write the entry as the admin API shows it."""
        return {
            "id": self.id,
            "origin": self.origin,
            "environment": self.environment,
            "time": iso_time(self.time),
            "at": self.time,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": _header_pairs(self.headers),
            "body_bytes": self.body_bytes,
            "body_sha256": self.body_sha256,
            "status": self.status,
            "executed": self.executed,
            "ended": self.ended,
            "fault": self.fault,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A write that was carried out, recorded when it was committed."""

    id: int
    request_id: int
    environment: str
    time: float
    method: str
    path: str
    query: str
    status: int
    resource: str
    record_id: int | str | None
    company_id: int | None
    project_id: int | None
    principal: str
    marker: str | None
    idempotency_token: str | None
    headers: list[tuple[bytes, bytes]]
    body_sha256: str | None
    body: str

    def describe(self) -> JsonObject:
        """Write the execution as the admin API shows it."""
        return {
            "id": self.id,
            "request_id": self.request_id,
            "environment": self.environment,
            "time": iso_time(self.time),
            "at": self.time,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "status": self.status,
            "resource": self.resource,
            "record_id": self.record_id,
            "company_id": self.company_id,
            "project_id": self.project_id,
            "principal": self.principal,
            "marker": self.marker,
            "idempotency_token": self.idempotency_token,
            "headers": _header_pairs(self.headers),
            "body_sha256": self.body_sha256,
            "body": self.body,
        }


def _header_pairs(headers: Iterable[tuple[bytes, bytes]]) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]


class Ledger:
    """The only judge of what was executed, how often, and with what."""

    def __init__(self, *, audit_size: int) -> None:
        self.executions: list[Execution] = []
        self.audit: deque[AuditEntry] = deque(maxlen=audit_size)
        self.counters: Counter[str] = Counter()
        self._requests = 0
        self._executions = 0
        self._concurrent: Counter[str] = Counter()

    def arrived(
        self, request: Request, *, origin: str, environment: str | None, now: float
    ) -> AuditEntry:
        """Write down a request as soon as its head is here."""
        self._requests += 1
        raw_path: bytes = request.scope["raw_path"]
        entry = AuditEntry(
            id=self._requests,
            origin=origin,
            environment=environment,
            time=now,
            method=request.method,
            path=raw_path.decode("latin-1"),
            query=request.query_string.decode("latin-1"),
            headers=request.headers,
        )
        self.audit.append(entry)
        self.counters["requests"] += 1
        self.counters[f"{origin}_requests"] += 1
        self._concurrent[origin] += 1
        most = f"max_concurrent_{origin}_requests"
        self.counters[most] = max(self.counters[most], self._concurrent[origin])
        return entry

    def left(self, entry: AuditEntry) -> None:
        """Note that nothing more happens to a request."""
        self._concurrent[entry.origin] -= 1

    def figures(self) -> dict[str, int]:
        """Return the counters, and how many requests of the API are under way."""
        return {**self.counters, "concurrent_api_requests": self._concurrent["api"]}

    def hash_body(self, entry: AuditEntry, body: bytes) -> None:
        """Write down the size and hash of a request's body."""
        if body:
            entry.body_bytes = len(body)
            entry.body_sha256 = hashlib.sha256(body).hexdigest()

    def executed(
        self,
        entry: AuditEntry,
        request: Request,
        *,
        now: float,
        status: int,
        resource: str,
        record_id: int | str | None,
        company_id: int | None,
        project_id: int | None,
        principal: str,
        body: Mapping[str, object],
    ) -> None:
        """Record a write; call it with nothing awaited since the data changed."""
        self._executions += 1
        entry.executed = True
        self.counters["executions"] += 1
        self.counters[f"executions_{request.method}"] += 1
        self.executions.append(
            Execution(
                id=self._executions,
                request_id=entry.id,
                environment=entry.environment or "",
                time=now,
                method=request.method,
                path=entry.path,
                query=entry.query,
                status=status,
                resource=resource,
                record_id=record_id,
                company_id=company_id,
                project_id=project_id,
                principal=principal,
                marker=_marker(body),
                idempotency_token=request.header(b"idempotency-token"),
                headers=request.headers,
                body_sha256=entry.body_sha256,
                body=request.body[:_KEPT_BODY_BYTES].decode("utf-8", "replace"),
            )
        )

    def find_executions(self, wanted: Mapping[str, str]) -> list[Execution]:
        """Return the executions that match every filter of the admin API."""
        return [item for item in self.executions if _matches(item, item.body, wanted)]

    def find_requests(self, wanted: Mapping[str, str]) -> list[AuditEntry]:
        """Return the requests that match every filter of the admin API."""
        return [item for item in self.audit if _matches(item, "", wanted)]

    def clear(self) -> None:
        """Forget everything but requests that are being served."""
        self.executions.clear()
        self.audit.clear()
        self.counters.clear()


def _marker(body: Mapping[str, object]) -> str | None:
    nested = next((value for value in body.values() if isinstance(value, dict)), {})
    for source in (nested, body):
        for name in _MARKER_FIELDS:
            value = source.get(name)
            if isinstance(value, str) and value:
                return value
    return None


def _matches(item: AuditEntry | Execution, body: str, wanted: Mapping[str, str]) -> bool:
    for name, value in wanted.items():
        if name == "path":
            if re.search(value, item.path) is None:
                return False
        elif name == "contains":
            if value not in body:
                return False
        elif name == "after":
            if item.id <= int(value):
                return False
        elif str(getattr(item, name, None)).lower() != value.lower():
            return False
    return True
