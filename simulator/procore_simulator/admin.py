"""The admin origin: ledger, requests, counters, faults and state, for tests and people."""

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

__all__ = ["AdminOrigin"]

_MAX_BODY_BYTES = 8 * 1024 * 1024

log = structlog.get_logger()


class AdminOrigin:
    """A JSON API that no client of Procore has."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

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
        except Exception:  # noqa: BLE001 - the ASGI border: a bug answers 500 and is logged
            log.exception("admin_request_failed", path=request.path)
            reply = json_reply({"code": 500, "message": "Internal error"}, status=500)
        await delivery.answer(reply)

    def _answer(self, request: Request) -> Reply:
        simulation = self._simulation
        ledger = simulation.ledger
        match request.method, request.path.rstrip("/"):
            case "GET", "/healthz":
                return json_reply({"status": "ok"})
            case "GET", "/ledger":
                found = ledger.find_executions(_filters(request))
                return json_reply(_listed(request, [item.describe() for item in found]))
            case "DELETE", "/ledger":
                ledger.clear()
                return Reply(status=204)
            case "GET", "/requests":
                asked = ledger.find_requests(_filters(request))
                return json_reply(_listed(request, [item.describe() for item in asked]))
            case "GET", "/counters":
                return json_reply(dict(ledger.counters))
            case "GET", "/faults":
                return json_reply({"items": [rule.describe() for rule in simulation.faults.rules]})
            case "POST", "/faults":
                return self._add_faults(request)
            case "DELETE", "/faults":
                simulation.faults.clear()
                return Reply(status=204)
            case "DELETE", path if path.startswith("/faults/"):
                number = to_integer(path.removeprefix("/faults/"))
                if number is None or not simulation.faults.remove(number):
                    raise not_found("Fault rule")
                return Reply(status=204)
            case "GET", "/state":
                return json_reply(describe_state(simulation))
            case "POST", "/state":
                change_state(simulation, _object(request))
                return json_reply(describe_state(simulation))
            case _:
                raise not_found("Admin resource")

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


def _object(request: Request) -> JsonObject:
    return _checked(_decoded(request))
