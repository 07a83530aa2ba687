"""Which version the operator recommends to agents: told to those who ask, never installed."""

from typing import Annotated, Final

from fastapi import Depends
from pydantic import BaseModel, ConfigDict

from cloud_connect.handshake_messages import update_transcript
from cloud_connect.signing import Nonce, SignatureBytes
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.security import services
from cloud_connect_relay.services import Services

__all__ = ["router"]

router: Final = Routes(prefix="/api/enrol", tags=["enrolment"])


class UpdateRequest(BaseModel):
    """Somebody at an agent asks whether there is a newer version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    agent_nonce: Nonce


class UpdateAnswer(BaseModel):
    """What the operator set, signed with the key that the agent has pinned.

    Attributes:
        latest: The version; empty if the operator names none.
        notes: Where a person reads about it; may be empty.
    """

    model_config = ConfigDict(frozen=True)

    latest: str
    notes: str
    signature: SignatureBytes


@router.post("/update", summary="Say which version of the agent is recommended")
async def update(
    body: UpdateRequest, found: Annotated[Services, Depends(services)]
) -> UpdateAnswer:
    """Sign what the operator recommends, so that nobody in between recommends anything."""
    told = found.settings.update
    latest, notes = told.latest or "", told.notes or ""
    transcript = update_transcript(
        relay_id=found.identity.relay_id, agent_nonce=body.agent_nonce, latest=latest, notes=notes
    )
    return UpdateAnswer(latest=latest, notes=notes, signature=found.identity.key.sign(transcript))
