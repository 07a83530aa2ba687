"""The admin origin: ledger, requests, counters, faults and state, for tests and people."""

from typing import TYPE_CHECKING

import orjson
import structlog

from procore_simulator.delivery import Delivery
from procore_simulator.failures import ApiError, bad_request, not_found
from procore_simulator.inputs import to_integer
from procore_simulator.ledger import AuditEntry
from procore_simulator.messages import (
    JsonObject,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    json_reply,
)
from procore_simulator.simulation import Simulation
from procore_simulator.state import change_state, describe_state

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AdminOrigin"]

_MAX_BODY_BYTES = 8 * 1024 * 1024

log = structlog.get_logger()

# Told when they are 0 too, so that nobody has to tell "none" from "not counted".
_ALWAYS_COUNTED = dict.fromkeys(
    (
        "requests",
        "executions",
        "tokens_issued",
        "refreshes",
        "max_concurrent_api_requests",
        "rate_limited",
        "wrong_company",
        "missing_company_header",
        "storage_authorizations",
    ),
    0,
)


class AdminOrigin:
    """A JSON API that no client of Procore has."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._operations: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", "/healthz"): lambda _request: json_reply({"status": "ok"}),
            ("GET", "/ledger"): self._find_executions,
            ("DELETE", "/ledger"): self._clear_ledger,
            ("GET", "/requests"): self._find_requests,
            ("GET", "/counters"): lambda _request: json_reply(
                {**_ALWAYS_COUNTED, **simulation.ledger.figures()}
            ),
            ("GET", "/faults"): self._list_faults,
            ("POST", "/faults"): self._add_faults,
            ("DELETE", "/faults"): self._clear_faults,
            ("GET", "/state"): lambda _request: json_reply(describe_state(simulation)),
            ("POST", "/state"): self._change_state,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; it is not in the ledger."""
        request = Request(scope, receive)
        entry = AuditEntry(
            id=0,
            origin="admin",
            environment=None,
            time=0.0,
            method=request.method,
            path=request.path,
            query="",
            headers=[],
        )
        delivery = Delivery(request, send, entry, self._simulation.clock)
        await request.read_body(limit=_MAX_BODY_BYTES)
        try:
            reply = self._answer(request)
        except ApiError as exc:
            reply = exc.reply(v2=False)
        except Exception:
            log.exception("admin_request_failed", path=request.path)
            reply = json_reply({"code": 500, "message": "Internal error"}, status=500)
        await delivery.answer(reply)

    def _answer(self, request: Request) -> Reply:
        path = request.path.rstrip("/")
        if request.method == "DELETE" and path.startswith("/faults/"):
            return self._remove_fault(path.removeprefix("/faults/"))
        operation = self._operations.get((request.method, path))
        if operation is None:
            raise not_found("Admin resource")
        return operation(request)

    def _find_executions(self, request: Request) -> Reply:
        found = self._simulation.ledger.find_executions(_filters(request))
        return json_reply(_listed(request, [item.describe() for item in found]))

    def _find_requests(self, request: Request) -> Reply:
        found = self._simulation.ledger.find_requests(_filters(request))
        return json_reply(_listed(request, [item.describe() for item in found]))

    def _clear_ledger(self, _request: Request) -> Reply:
        self._simulation.ledger.clear()
        return Reply(status=204)

    def _list_faults(self, _request: Request) -> Reply:
        return json_reply({"items": [rule.describe() for rule in self._simulation.faults.rules]})

    def _clear_faults(self, _request: Request) -> Reply:
        self._simulation.faults.clear()
        return Reply(status=204)

    def _remove_fault(self, name: str) -> Reply:
        number = to_integer(name)
        if number is None or not self._simulation.faults.remove(number):
            raise not_found("Fault rule")
        return Reply(status=204)

    def _change_state(self, request: Request) -> Reply:
        change_state(self._simulation, _checked(_decoded(request)))
        return json_reply(describe_state(self._simulation))

    def _add_faults(self, request: Request) -> Reply:
        sent = _decoded(request)
        if isinstance(sent, list):
            rules = [self._simulation.faults.add(_checked(item)) for item in sent]
            return json_reply({"items": [rule.describe() for rule in rules]}, status=201)
        return json_reply(self._simulation.faults.add(_checked(sent)).describe(), status=201)


def _filters(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.query if name != "limit"}


def _listed(request: Request, items: list[JsonObject]) -> JsonObject:
    limit = to_integer(request.argument("limit"))
    shown = items if limit is None else items[-limit:]
    return {"count": len(items), "items": shown}


def _decoded(request: Request) -> object:
    try:
        return orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError as exc:
        raise bad_request("The body is not JSON") from exc


def _checked(value: object) -> JsonObject:
    if not isinstance(value, dict):
        raise bad_request("The body must be a JSON object")
    return value
