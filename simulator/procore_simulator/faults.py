"""Scriptable faults: which request, how often, and what goes wrong."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import orjson

from procore_simulator.failures import bad_request
from procore_simulator.messages import Json, JsonObject, Reply

__all__ = ["Fault", "FaultKind", "FaultRule", "Faults"]


class FaultKind(StrEnum):
    """What can go wrong."""

    STATUS = "status"
    RESET = "reset"
    DROP = "drop"
    HANG = "hang"
    SLOW_FIRST_BYTE = "slow_first_byte"
    SLOW_BODY = "slow_body"
    TRUNCATE = "truncate"
    CLOSE_AFTER = "close_after"
    GZIP_BOMB = "gzip_bomb"
    MANY_HEADERS = "many_headers"
    ENDLESS_BODY = "endless_body"

    @property
    def keeps_the_answer(self) -> bool:
        """Whether the real answer goes out, only in another manner."""
        return self in {
            FaultKind.SLOW_FIRST_BYTE,
            FaultKind.SLOW_BODY,
            FaultKind.TRUNCATE,
            FaultKind.CLOSE_AFTER,
            FaultKind.MANY_HEADERS,
        }


_HTML = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
_PRESETS: Final[Mapping[str, JsonObject]] = {
    "server_error": {"status": 500, "body": {"code": 500, "message": "Internal server error"}},
    "bad_gateway": {"status": 502, "body": _HTML, "content_type": "text/html"},
    "unavailable": {"status": 503, "body": {"message": "Service unavailable"}, "retry_after": 1},
    "redirect": {"status": 302, "headers": {"Location": "http://127.0.0.1:1/elsewhere"}},
    "timeout": {"status": 408, "body": {"code": 408, "message": "Request took too long"}},
    "rate_limited": {
        "status": 429,
        "body": "You have surpassed the max number of requests for an hour. "
        "Please wait until your limit resets.",
        "retry_after": 1,
        "exhausts_for": 1.0,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong; which numbers count depends on the kind.

    Args:
        exhausts_for: For how many seconds the rate headers tell that nothing is left.
    """

    kind: FaultKind
    status: int = 500
    body: Json = None
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float | None = None
    size: int | None = None
    count: int = 10_000
    exhausts_for: float | None = None

    def reply(self) -> Reply:
        """Write the answer of a ``status`` fault."""
        kind: str | None = None
        body = b""
        if isinstance(self.body, str):
            kind, body = "text/plain; charset=utf-8", self.body.encode()
        elif self.body is not None:
            kind, body = "application/json", orjson.dumps(self.body)
        return Reply(
            status=self.status,
            body=body,
            content_type=self.content_type or kind,
            headers=self.headers,
        )

    @classmethod
    def parse(cls, value: Json) -> "Fault":
        """Read what ``POST /faults`` was sent under ``action``.

        Raises:
            ApiError: 400 naming what is wrong.
        """
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, dict):
            raise bad_request("action must be an object or a name", fields="action")
        sent = dict(value)
        name = sent.pop("kind", None)
        if name in _PRESETS:
            sent = {**_PRESETS[name], **sent}
            name = FaultKind.STATUS
        try:
            kind = FaultKind(name)
        except ValueError as exc:
            known = ", ".join([*FaultKind, *_PRESETS])
            raise bad_request(f"action.kind must be one of {known}", fields="action") from exc
        headers = _pairs(sent.pop("headers", {}))
        retry_after = sent.pop("retry_after", None)
        if retry_after is not None:
            headers = (*headers, ("Retry-After", str(retry_after)))
            if "exhausts_for" in sent:
                sent["exhausts_for"] = retry_after
        try:
            return cls(kind=kind, headers=headers, **sent)
        except TypeError as exc:
            raise bad_request(f"action has an unknown key: {exc}", fields="action") from exc


def _pairs(headers: Json) -> tuple[tuple[str, str], ...]:
    items = headers.items() if isinstance(headers, dict) else headers
    return tuple((str(name), str(value)) for name, value in items)


@dataclass(slots=True, kw_only=True)
class FaultRule:
    """When a fault happens.

    Args:
        skip: How many matching requests pass before it begins.
        times: How often it happens, ``None`` for always.
        after_execute: Carry the request out first, then fail.
    """

    id: int
    fault: Fault
    action: Json
    origin: str | None = None
    environment: str | None = None
    method: str | None = None
    path: str | None = None
    query: str | None = None
    probability: float = 1.0
    skip: int = 0
    times: int | None = None
    after_execute: bool = False
    seen: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)

    @property
    def prevents_execution(self) -> bool:
        """Whether the request must not be carried out."""
        return not self.after_execute and not self.fault.kind.keeps_the_answer

    @property
    def waits_first(self) -> bool:
        """Whether the wait comes before the request is carried out."""
        return not self.after_execute and self.fault.kind is FaultKind.SLOW_FIRST_BYTE

    def describe(self) -> JsonObject:
        """Write the rule as the admin API takes it, with its counts."""
        return {
            "id": self.id,
            "origin": self.origin,
            "environment": self.environment,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "probability": self.probability,
            "skip": self.skip,
            "times": self.times,
            "after_execute": self.after_execute,
            "action": self.action,
            "seen": self.seen,
            "hits": self.hits,
        }

    def concerns(
        self, *, origin: str, environment: str | None, method: str, path: str, query: str
    ) -> bool:
        """Tell whether a request is one the rule is about."""
        return (
            (self.origin is None or self.origin == origin)
            and (self.environment is None or self.environment == environment)
            and (self.method is None or re.fullmatch(self.method, method) is not None)
            and (self.path is None or re.search(self.path, path) is not None)
            and (self.query is None or re.search(self.query, query) is not None)
        )


class Faults:
    """The rules, in the order they were made; the first that strikes wins."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._rng = random.Random(seed)
        self._next_id = 1
        self.rules: list[FaultRule] = []

    def add(self, sent: JsonObject) -> FaultRule:
        """Make a rule of what ``POST /faults`` was sent.

        Raises:
            ApiError: 400 naming what is wrong.
        """
        facts = dict(sent)
        action = facts.pop("action", None)
        fault = Fault.parse(action)
        for name in ("method", "path", "query"):
            try:
                re.compile(facts.get(name) or "")
            except (re.error, TypeError) as exc:
                raise bad_request(f"{name} is not a regular expression", fields=name) from exc
        try:
            rule = FaultRule(id=self._next_id, fault=fault, action=action, **facts)
        except TypeError as exc:
            raise bad_request(f"unknown key: {exc}") from exc
        self._next_id += 1
        self.rules.append(rule)
        return rule

    def remove(self, rule_id: int) -> bool:
        """Take one rule away; tell whether there was one."""
        left = [rule for rule in self.rules if rule.id != rule_id]
        found = len(left) != len(self.rules)
        self.rules = left
        return found

    def clear(self) -> None:
        """Take all rules away and restart the dice."""
        self.rules.clear()
        self._rng = random.Random(self._seed)

    def strike(
        self, *, origin: str, environment: str | None, method: str, path: str, query: str
    ) -> FaultRule | None:
        """Return the rule that strikes this request, counted, or ``None``."""
        for rule in self.rules:
            if rule.times is not None and rule.hits >= rule.times:
                continue
            if not rule.concerns(
                origin=origin, environment=environment, method=method, path=path, query=query
            ):
                continue
            rule.seen += 1
            if rule.seen <= rule.skip:
                continue
            if rule.probability < 1 and self._rng.random() >= rule.probability:
                continue
            rule.hits += 1
            return rule
        return None
