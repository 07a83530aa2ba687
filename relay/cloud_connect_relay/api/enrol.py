"""The enrolment of agents, their keys, and its end: the requests that need no bearer token."""

from typing import Annotated, Final

from fastapi import Depends
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from starlette.responses import Response

from cloud_connect.handshake_messages import enrol_certificates_transcript, tunnel_url_transcript
from cloud_connect.signing import Digest, Nonce, PublicKeyBytes, SignatureBytes, to_bytes, to_text
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.security import services
from cloud_connect_relay.gateway.enrolment import Enrolment
from cloud_connect_relay.names import PRINTABLE
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.connector_keys import ConnectorKeys
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions
from cloud_connect_relay.storage.connectors import ConnectorFlag
from cloud_connect_relay.storage.enrolments import Applicant, Enrolments

__all__ = ["router"]

router: Final = Routes(prefix="/api/enrol", tags=["enrolment"])

_PRINTABLE: Final = rf"^{PRINTABLE}*$"

RelayNonce = Annotated[
    bytes,
    BeforeValidator(lambda value: to_bytes(value) if isinstance(value, str) else value),
    PlainSerializer(to_text, return_type=str, when_used="json"),
    Field(max_length=64),
]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ChallengeRequest(_Body):
    """An agent asks the relay to prove itself before it joins or leaves.

    Attributes:
        token_id: Of the join token to redeem, or the id of the connector that leaves.
    """

    token_id: str = Field(min_length=1, max_length=64)
    agent_nonce: Nonce


class ChallengeAnswer(_Body):
    """The relay's proof; the agent compares the key with the one it was told or has pinned."""

    relay_id: str
    relay_public_key: PublicKeyBytes
    nonce: RelayNonce
    signature: SignatureBytes


class CertificatesRequest(_Body):
    """An agent asks which certificates it may see, before it shows its token."""

    agent_nonce: Nonce


class CertificatesAnswer(_Body):
    """SHA-256 of each certificate that this relay or a proxy in front of it shows.

    Attributes:
        hashes: None, if this relay was told of none.
    """

    hashes: tuple[Digest, ...]
    signature: SignatureBytes


class TunnelRequest(_Body):
    """An enrolled agent asks where to dial: nothing answers where it was told."""

    agent_nonce: Nonce


class TunnelAnswer(_Body):
    """Where to dial, signed with the key that the agent has pinned."""

    tunnel_url: str
    signature: SignatureBytes


class EnrolRequest(_Body):
    """The join token, the agent's public key and the proof that it holds the private one."""

    token: str = Field(max_length=400)
    nonce: RelayNonce
    public_key: PublicKeyBytes
    signature: SignatureBytes
    name: str = Field(default="", max_length=200, pattern=_PRINTABLE)
    machine: str = Field(default="", max_length=253, pattern=_PRINTABLE)
    os: str = Field(default="", max_length=200, pattern=_PRINTABLE)
    version: str = Field(default="", max_length=50, pattern=_PRINTABLE)
    group: str | None = Field(default=None, max_length=100, pattern=_PRINTABLE)


class EnrolAnswer(_Body):
    """What the agent connects with from then on.

    Attributes:
        policy_class: The most that the agent's policy may allow.
        approved: Whether it may connect; otherwise an administrator has to let it in first.
    """

    connector_id: str
    key_id: str
    relay_id: str
    relay_public_key: PublicKeyBytes
    tunnel_url: str
    generation: int
    policy_class: str
    name: str
    group: str | None
    approved: bool


class LeaveRequest(_Body):
    """A connector's wish to be revoked, and the proof that it comes from its agent."""

    connector_id: str = Field(min_length=1, max_length=64)
    key_id: str = Field(min_length=1, max_length=64)
    nonce: RelayNonce
    signature: SignatureBytes


class RotateRequest(_Body):
    """A connector's next key, and the proofs that its agent holds the old one and the new one."""

    connector_id: str = Field(min_length=1, max_length=64)
    key_id: str = Field(min_length=1, max_length=64)
    new_public_key: PublicKeyBytes
    nonce: RelayNonce
    signature: SignatureBytes
    new_signature: SignatureBytes


def _enrolment(found: Annotated[Services, Depends(services)]) -> Enrolment:
    return Enrolment(
        relay_id=found.identity.relay_id,
        key=found.identity.key,
        enrolments=Enrolments(found.storage),
        connectors=ConnectorSessions(found.storage),
        keys=ConnectorKeys(found.storage),
        registry=found.registry,
        clock=found.clock,
    )


@router.post("/challenge", summary="Make the relay prove itself to an agent")
async def challenge(
    body: ChallengeRequest,
    found: Annotated[Services, Depends(services)],
    enrolment: Annotated[Enrolment, Depends(_enrolment)],
) -> ChallengeAnswer:
    """Sign the agent's nonce with the key that join tokens pin."""
    nonce, signature = enrolment.challenge(token_id=body.token_id, agent_nonce=body.agent_nonce)
    return ChallengeAnswer(
        relay_id=found.identity.relay_id,
        relay_public_key=found.identity.key.public_key,
        nonce=nonce,
        signature=signature,
    )


@router.post("/certificates", summary="Say which certificates an agent may see")
async def certificates(
    body: CertificatesRequest, found: Annotated[Services, Depends(services)]
) -> CertificatesAnswer:
    """Sign the certificates of this relay, so that an agent notices who sits in between."""
    hashes = found.certificates.hashes
    transcript = enrol_certificates_transcript(
        relay_id=found.identity.relay_id, agent_nonce=body.agent_nonce, hashes=hashes
    )
    return CertificatesAnswer(hashes=hashes, signature=found.identity.key.sign(transcript))


@router.post("/tunnel", summary="Say where the tunnel is")
async def tunnel(
    body: TunnelRequest, found: Annotated[Services, Depends(services)]
) -> TunnelAnswer:
    """Sign the address that agents dial, so that nobody else can send them elsewhere."""
    url = found.addresses.tunnel_url
    transcript = tunnel_url_transcript(
        relay_id=found.identity.relay_id, agent_nonce=body.agent_nonce, tunnel_url=url
    )
    return TunnelAnswer(tunnel_url=url, signature=found.identity.key.sign(transcript))


@router.post("", status_code=201, summary="Redeem a join token")
async def enrol(
    body: EnrolRequest,
    found: Annotated[Services, Depends(services)],
    enrolment: Annotated[Enrolment, Depends(_enrolment)],
) -> EnrolAnswer:
    """Turn a join token into a connector, once; the same agent may repeat it for ten minutes."""
    enrolled = await enrolment.redeem(
        token=body.token,
        nonce=body.nonce,
        signature=body.signature,
        applicant=Applicant(
            public_key=body.public_key,
            name=body.name.strip(),
            machine=body.machine.strip(),
            os=body.os.strip(),
            version=body.version.strip(),
            group=(body.group or "").strip() or None,
        ),
    )
    connector = enrolled.connector
    return EnrolAnswer(
        connector_id=connector.id,
        key_id=connector.key_id,
        relay_id=found.identity.relay_id,
        relay_public_key=found.identity.key.public_key,
        tunnel_url=found.addresses.tunnel_url,
        generation=connector.generation,
        policy_class=connector.policy_class,
        name=connector.name,
        group=connector.group,
        approved=connector.flag is not ConnectorFlag.PENDING,
    )


@router.post("/rotate", status_code=204, summary="Announce a connector's next key")
async def rotate(
    body: RotateRequest, enrolment: Annotated[Enrolment, Depends(_enrolment)]
) -> Response:
    """Accept the next key beside the old one, until it connects; it may be repeated."""
    await enrolment.rotate(
        connector_id=body.connector_id,
        key_id=body.key_id,
        new_public_key=body.new_public_key,
        nonce=body.nonce,
        signature=body.signature,
        new_signature=body.new_signature,
    )
    return Response(status_code=204)


@router.post("/leave", status_code=204, summary="Revoke a connector by its own key")
async def leave(
    body: LeaveRequest, enrolment: Annotated[Enrolment, Depends(_enrolment)]
) -> Response:
    """Refuse the agent that signed this from now on and cut its session; it may be repeated."""
    await enrolment.leave(
        connector_id=body.connector_id,
        key_id=body.key_id,
        nonce=body.nonce,
        signature=body.signature,
    )
    return Response(status_code=204)
