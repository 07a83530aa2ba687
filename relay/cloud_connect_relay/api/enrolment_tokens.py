"""Join tokens: made here, redeemed once by an agent."""

from typing import Annotated, Any, Final, Literal

from fastapi import Depends
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool
from starlette.responses import Response

from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.enrolment_desk import (
    describe_join_token,
    issue_join_token,
    revoke_join_token,
)
from cloud_connect_relay.names import NAME
from cloud_connect_relay.services import Services
from cloud_connect_relay.times import parse_duration

__all__ = ["GroupName", "router"]

router: Final = Routes(prefix="/api/enrolment-tokens", tags=["Connectors"])

_LONGEST: Final = 86_400  # seconds: a token that lies around longer is forgotten somewhere


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


GroupName = Annotated[str, Field(pattern=NAME)]
Enrols = Annotated[Principal, Depends(require("connectors:enrol"))]


class TokenRequest(BaseModel):
    """What a new join token allows."""

    model_config = ConfigDict(extra="forbid")

    group: GroupName | None = Field(default=None, description="Connectors that may substitute.")
    expires_in: Annotated[int, BeforeValidator(_seconds), Field(ge=1, le=_LONGEST)] = Field(
        default=3600, description="Seconds, or a text such as `15m` or `1h`; at most a day."
    )
    hosted: StrictBool = Field(
        default=False, description="For an agent that the relay's operator runs."
    )
    policy_class: Literal["test-only", "read-only", "read-write"] = Field(
        default="read-write", description="The most that the agent's own policy may allow."
    )
    approval: StrictBool = Field(
        default=False, description="What it enrols waits until an administrator lets it in."
    )


@router.post("", status_code=201, summary="Create a join token")
async def create_token(
    principal: Enrols,
    services: Annotated[Services, Depends(services)],
    request: TokenRequest | None = None,
) -> dict[str, Any]:
    """Make a join token; its text is in this answer and nowhere else."""
    wanted = request or TokenRequest()
    return await issue_join_token(
        services.storage.of(principal.subscription_id),
        relay_public_key=services.identity.public_key,
        now=services.clock(),
        expires_in=wanted.expires_in,
        group=wanted.group,
        hosted=wanted.hosted,
        policy_class=wanted.policy_class,
        approval=wanted.approval,
        actor=principal.actor,
    )


@router.get("", summary="List join tokens")
async def list_tokens(
    principal: Enrols, services: Annotated[Services, Depends(services)]
) -> dict[str, Any]:
    """List the join tokens, newest first, without their secrets."""
    tokens = await services.storage.of(principal.subscription_id).join_tokens.list()
    now = services.clock()
    return {"items": [describe_join_token(token, now=now) for token in tokens]}


@router.delete("/{token_id}", status_code=204, summary="Revoke a join token")
async def revoke_token(
    token_id: str, principal: Enrols, services: Annotated[Services, Depends(services)]
) -> Response:
    """Refuse a join token from now on; a connector that it has enrolled stays."""
    tenant = services.storage.of(principal.subscription_id)
    if not await revoke_join_token(tenant, token_id, actor=principal.actor, now=services.clock()):
        raise not_found()
    return Response(status_code=204)
