"""The API origin: who calls, for which company, may they, and then the operation."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import structlog

from procore_simulator.auth import Principal
from procore_simulator.bodies import parse_body
from procore_simulator.calls import Call
from procore_simulator.delivery import Delivery
from procore_simulator.failures import (
    ApiError,
    bad_request,
    forbidden,
    missing_parameter,
    not_connected,
    not_found,
    plain_text,
)
from procore_simulator.faults import FaultRule
from procore_simulator.inputs import to_integer
from procore_simulator.ledger import AuditEntry
from procore_simulator.messages import JsonObject, Receive, Reply, Request, Scope, Send
from procore_simulator.routing import Match, Reach, Route
from procore_simulator.settings import Behaviour, ErrorType, UnauthorizedShape
from procore_simulator.simulation import Simulation
from procore_simulator.tenancy import Company, Level, Project
from procore_simulator.transfer import BLOB_PATH, SINK_PATH, send_blob, swallow
from procore_simulator.world import World

__all__ = ["ApiOrigin"]

_MISSING_COMPANY = (
    "Missing Procore-Company-Id header! Every request must carry the id of the company it is for."
)
_TOO_MANY = (
    "You have surpassed the max number of requests for an hour. "
    "Please wait until your limit resets."
)

log = structlog.get_logger()


class ApiOrigin:
    """The REST API of one environment."""

    def __init__(self, simulation: Simulation, world: World, base_url: str) -> None:
        self._simulation = simulation
        self._world = world
        self._base_url = base_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        simulation, world = self._simulation, self._world
        now = simulation.clock.now()
        entry = simulation.ledger.arrived(
            request, origin="api", environment=world.environment, now=now
        )
        delivery = Delivery(request, send, entry, simulation.clock)
        delivery.extra = world.limiter.idle_verdict(
            now=now, behaviour=simulation.behaviour
        ).headers()
        try:
            await self._serve(request, entry, delivery)
        except Exception:
            log.exception("request_failed", path=request.path)
            if entry.status is None:
                message = "Internal server error"
                await delivery.answer(
                    ApiError(500, {"code": 500, "message": message}, message=message).reply(
                        v2=_is_v2(request)
                    )
                )
        finally:
            simulation.ledger.left(entry)

    async def _serve(self, request: Request, entry: AuditEntry, delivery: Delivery) -> None:
        streams = request.path in {BLOB_PATH, SINK_PATH}
        if request.path != SINK_PATH:
            if not await request.read_body(limit=self._simulation.behaviour.max_body_bytes):
                message = "The request body is too large"
                error = ApiError(413, {"code": 413, "message": message}, message=message)
                await delivery.answer(error.reply(v2=_is_v2(request)))
                return
            self._simulation.ledger.hash_body(entry, request.body)
        await self._wait(request, delivery)
        if entry.ended == "disconnected" and request.method == "GET":
            return
        rule = self._strike(request, entry, delivery)
        if rule is not None and rule.prevents_execution:
            await delivery.fail(rule.fault, Reply())
            return
        if rule is not None and rule.waits_first:
            if await delivery.caller_left(rule.fault.seconds or 1.0):
                return
            rule = None
        try:
            if streams:
                reply = await self._stream(request, entry, delivery)
            else:
                reply = self._carry_out(request, entry, delivery)
        except ApiError as exc:
            reply = exc.reply(v2=_is_v2(request))
        if reply is not None:
            await (delivery.answer(reply) if rule is None else delivery.fail(rule.fault, reply))

    def _strike(self, request: Request, entry: AuditEntry, delivery: Delivery) -> FaultRule | None:
        if not self._simulation.faults.rules:
            return None
        rule = self._simulation.faults.strike(
            origin="api",
            environment=self._world.environment,
            method=request.method,
            path=entry.path,
            query=entry.query,
        )
        if rule is not None:
            entry.fault = rule.fault.kind.value
            if rule.fault.exhausts_for is not None:
                delivery.extra = self._world.limiter.used_up(
                    rule.fault.exhausts_for,
                    now=self._simulation.clock.now(),
                    behaviour=self._simulation.behaviour,
                ).headers()
        return rule

    async def _wait(self, request: Request, delivery: Delivery) -> None:
        seconds = self._simulation.behaviour.latency_ms / 1000
        if not seconds:
            return
        if request.path == SINK_PATH:
            await asyncio.sleep(seconds)
            return
        started = asyncio.get_running_loop().time()
        if await delivery.caller_left(seconds) and request.method != "GET":
            # A real server goes on with a write whose caller has left.
            left = seconds - (asyncio.get_running_loop().time() - started)
            await asyncio.sleep(max(0.0, left))

    async def _stream(
        self, request: Request, entry: AuditEntry, delivery: Delivery
    ) -> Reply | None:
        principal = self._authenticate(request)
        self._limit(request, delivery, principal, {})
        self._company_header(request, principal, Reach.PRINCIPAL)
        if request.path == SINK_PATH:
            if request.method not in {"POST", "PUT", "PATCH"}:
                raise _wrong_verb(("POST", "PUT"))
            return await swallow(request, entry, self._simulation.ledger)
        if request.method not in {"GET", "HEAD"}:
            raise _wrong_verb(("GET",))
        await send_blob(request, delivery)
        return None

    def _carry_out(self, request: Request, entry: AuditEntry, delivery: Delivery) -> Reply:
        # Nothing here awaits: the data change and its ledger entry are one step.
        world = self._world
        principal = self._authenticate(request)
        method = request.method
        if method == "PUT" and self._simulation.behaviour.put_as_patch:
            method = "PATCH"
        found = self._simulation.routes.find(method, request.path)
        params = found.params if isinstance(found, Match) else {}
        self._limit(request, delivery, principal, params)
        if found is None:
            raise not_found("Resource")
        if isinstance(found, tuple):
            if self._simulation.behaviour.wrong_verb_status == 404:
                raise not_found("Resource")
            raise _wrong_verb(found)
        route = found.route
        company_id = self._company_header(request, principal, route.reach)
        body = parse_body(request.body, request.header(b"content-type"))
        call = Call(
            request=request,
            world=world,
            principal=principal,
            behaviour=self._simulation.behaviour,
            base_url=self._base_url,
            params=params,
            body=body,
        )
        if route.reach in {Reach.SIGNED, Reach.PRINCIPAL}:
            call.company = None if company_id is None else world.companies.get(company_id)
        else:
            call.company = self._company(request, params, body, route, company_id)
            call.project = self._project(
                request=request,
                params=params,
                body=body,
                route=route,
                company=call.company,
                principal=principal,
            )
            call.level = self._permit(route, call.company, call.project, params)
        return self._handle(route, call, entry)

    def _handle(self, route: Route, call: Call, entry: AuditEntry) -> Reply:
        world, request = self._world, call.request
        token = request.header(b"idempotency-token") if route.idempotent else None
        key = (call.principal.key, request.method, request.path, token or "")
        if token is not None and key in world.replays:
            self._simulation.ledger.counters["replays"] += 1
            earlier = world.replays[key]
            return replace(earlier, status=route.replay_status or earlier.status)
        reply = route.handler(call)
        if route.writes:
            self._simulation.ledger.executed(
                entry,
                request,
                now=self._simulation.clock.now(),
                status=reply.status,
                resource=route.resource,
                record_id=call.record_id,
                company_id=call.company.id if call.company else None,
                project_id=call.project.id if call.project else None,
                principal=call.principal.key,
                body=call.body,
            )
        if token is not None:
            world.replays[key] = reply
        return reply

    def _authenticate(self, request: Request) -> Principal:
        counters = self._simulation.ledger.counters
        header = request.header(b"authorization") or ""
        scheme, _, access = header.partition(" ")
        token = self._world.grants.find(access.strip()) if scheme.lower() == "bearer" else None
        if token is not None:
            return token.principal
        counters["unauthorized"] += 1
        message = "The access token is invalid"
        challenge = (
            f'Bearer realm="Doorkeeper", error="invalid_token", error_description="{message}"'
        )
        shapes: dict[UnauthorizedShape, JsonObject | None] = {
            UnauthorizedShape.ERRORS: {"errors": [message]},
            UnauthorizedShape.OAUTH: {"error": "invalid_token", "error_description": message},
            UnauthorizedShape.EMPTY: None,
        }
        raise ApiError(
            401,
            shapes[self._simulation.behaviour.unauthorized_shape],
            message=message,
            reason="INVALID_TOKEN",
            headers=(("WWW-Authenticate", challenge),),
        )

    def _limit(
        self,
        request: Request,
        delivery: Delivery,
        principal: Principal,
        params: Mapping[str, str],
    ) -> None:
        behaviour = self._simulation.behaviour
        company = (
            request.header(b"procore-company-id")
            or params.get("company_id")
            or request.argument("company_id")
        )
        verdict = self._world.limiter.check(
            principal.key,
            to_integer(company),
            now=self._simulation.clock.now(),
            behaviour=behaviour,
        )
        delivery.extra = verdict.headers()
        if not verdict.allowed:
            self._simulation.ledger.counters["rate_limited"] += 1
            wait = max(1, -int(-verdict.wait_seconds // 1))
            headers = (("Retry-After", str(wait)),) if behaviour.retry_after else ()
            raise plain_text(429, _TOO_MANY, headers=headers)

    def _company_header(self, request: Request, principal: Principal, reach: Reach) -> int | None:
        header = request.header(b"procore-company-id")
        if header is None:
            if reach is Reach.SIGNED or (reach is Reach.PRINCIPAL and not principal.is_service):
                return None
            self._simulation.ledger.counters["missing_company_header"] += 1
            raise _missing_company(self._simulation.behaviour)
        number = to_integer(header)
        if number is None:
            raise bad_request("Procore-Company-Id must be an integer", fields="Procore-Company-Id")
        return number

    def _company(
        self,
        request: Request,
        params: Mapping[str, str],
        body: JsonObject,
        route: Route,
        company_id: int | None,
    ) -> Company:
        counters = self._simulation.ledger.counters
        company = None if company_id is None else self._world.companies.get(company_id)
        if company is None:
            counters["wrong_company"] += 1
            raise not_found("Company")
        named = [
            value
            for value in (
                params.get("company_id"),
                request.argument("company_id"),
                body.get("company_id"),
            )
            if value not in (None, "")
        ]
        if any(to_integer(value) != company.id for value in named):
            counters["wrong_company"] += 1
            raise forbidden("The company does not match the Procore-Company-Id header.")
        if not company.visible or not company.connected:
            counters["not_connected"] += 1
            raise not_connected()
        if not named and route.reach is Reach.COMPANY and route.names_company:
            raise missing_parameter("company_id")
        return company

    def _project(
        self,
        *,
        request: Request,
        params: Mapping[str, str],
        body: JsonObject,
        route: Route,
        company: Company,
        principal: Principal,
    ) -> Project | None:
        value = params.get("project_id") or request.argument("project_id")
        if route.reach is Reach.PROJECT:
            value = value or body.get("project_id")
        if value in (None, ""):
            if route.reach is Reach.PROJECT:
                raise missing_parameter("project_id")
            return None
        number = to_integer(value)
        project = None if number is None else self._world.projects.get(number)
        if project is None:
            raise not_found("Project")
        if project.company is not company:
            self._simulation.ledger.counters["wrong_company"] += 1
            raise not_found("Project")
        if not self._world.permits(principal, project):
            raise forbidden("You do not have permission to access this project.")
        return project

    def _permit(
        self, route: Route, company: Company, project: Project | None, params: Mapping[str, str]
    ) -> Level:
        if route.tool is None:
            return Level.ADMIN
        level = self._world.permissions.level(
            company_id=company.id, project_id=project.id if project else None, tool=route.tool
        )
        if level is None:
            raise forbidden("This tool is not enabled.")
        if level >= route.level:
            return level
        if level is Level.NONE and "id" in params:
            raise not_found()
        raise forbidden("You do not have permission to perform this action.")


def _is_v2(request: Request) -> bool:
    return request.path.startswith("/rest/v2")


def _missing_company(behaviour: Behaviour) -> ApiError:
    status = behaviour.missing_company_status
    if behaviour.missing_company_type is ErrorType.TEXT:
        return plain_text(status, _MISSING_COMPANY)
    payload = {"code": status, "message": _MISSING_COMPANY}
    return ApiError(status, payload, message=_MISSING_COMPANY)


def _wrong_verb(allowed: tuple[str, ...]) -> ApiError:
    return ApiError(
        405,
        {"code": 405, "message": "Method not allowed"},
        message="Method not allowed",
        headers=(("Allow", ", ".join(allowed)),),
    )
