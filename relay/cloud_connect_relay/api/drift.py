"""The drift report of a data source: fields in use that its company no longer has."""

from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict
from starlette.responses import Response

from cloud_connect.calls import Operation
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.agent_words import understood
from cloud_connect_relay.api.call_response import CallResponse, Reply, json_headers
from cloud_connect_relay.api.call_specs import spec_for, target_for
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.services import Services

__all__ = ["router"]

router: Final = Routes(prefix="/api/datasources/{datasource_id}", tags=["Data sources"])

_MAX_BYTES: Final = 4 * 1024 * 1024


class _DriftItem(BaseModel):
    model_config = ConfigDict(extra="ignore")

    resource: str
    field: str
    kind: Literal["gone", "type_changed"]
    last_seen_at: AwareDatetime
    used_by_queries: int
    last_used_at: AwareDatetime


class _Drift(BaseModel):
    """A version of the company's fields, and which of those in use have drifted since."""

    model_config = ConfigDict(extra="ignore")

    version: int
    previous_version: int | None
    taken_at: AwareDatetime
    checked_at: AwareDatetime
    items: list[_DriftItem]


_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {200: {"model": _Drift}}


@router.get("/drift", response_class=Response, responses=_ANSWERS)
async def drift(
    datasource_id: str,
    request: Request,
    principal: Annotated[Principal, Depends(require("datasources:read"))],
    shared: Annotated[Services, Depends(services)],
    *,
    refresh: bool = False,
) -> Response:
    """Tell which fields that queries used are gone, or have another type, by now.

    The connector compares versions of the company's fields. `refresh=true` asks Procore for
    them, however short ago that was done.
    """
    spec = spec_for(
        shared,
        principal,
        request,
        target=await target_for(shared, principal, datasource_id, use=Use.DRIFT),
        operation=Operation.DRIFT,
        params={"refresh": refresh},
    )

    async def run(reply: Reply) -> None:
        async with shared.calls.read(spec) as answer:
            report = understood(_Drift, await answer.collect(max_bytes=_MAX_BYTES))
            answer.rows = len(report.items)
        await reply.whole(200, json_headers(answer), report.model_dump_json().encode())

    return CallResponse(run)
