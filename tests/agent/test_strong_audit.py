"""What the PC's audit log says of signed and sealed calls, those that were refused above all."""

from dataclasses import dataclass, field
from pathlib import Path

from cloud_connect.call_signatures import SIGNATURE_HEADER, SignableCall, sign_call
from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.audit.notes import CallNote
from cloud_connect_agent.journal import Journal
from cloud_connect_agent.strong_calls import StrongCalls
from cloud_connect_agent.strong_modes import SignatureRules, StrongModes
from doubles.agent_bench import PARAMS, bench

KEY = SigningKey.generate()
RFI = {"resource": "rfis", "scope": {"project_id": "12"}}
CALL = SignableCall(operation=Operation.CREATE, params={**PARAMS, **RFI}, body=b"{}")


@dataclass
class Log:
    """Keeps what it is told of calls."""

    told: list[dict[str, object]] = field(default_factory=list)

    def require(self) -> None:
        pass

    def digest_of(self, data: bytes) -> str:
        return str(len(data))

    def call(
        self,
        note: CallNote,
        *,
        status: int | None,
        outcome: Outcome,
        digest: str | None = None,
        **detail: str | int | bool | None,
    ) -> None:
        del digest, detail
        rule = None if note.decision is None else note.decision.rule
        self.told.append({**note.facts(), "rule": rule, "status": status, "outcome": outcome})


def insisting(journal: Journal) -> StrongCalls:
    rules = SignatureRules.model_validate({"require": "writes", "keys": [to_text(KEY.public_key)]})
    return StrongCalls(journal, rules=lambda: StrongModes(signatures=rules), connector_id="conn_1")


async def test_who_signed_is_recorded_and_who_pretended_to_is_refused_on_record(
    tmp_path: Path,
) -> None:
    log = Log()
    async with bench(tmp_path, strong=insisting, audit=log) as agent:
        header = sign_call(KEY, CALL, connector_id="conn_1").header()
        signed = ((SIGNATURE_HEADER, header),)
        await agent.call(Operation.CREATE, RFI, b"{}", headers=signed)
        await agent.call(Operation.CREATE, RFI, b'{"altered":1}', headers=signed)
        await agent.call(Operation.CREATE, RFI, b"{}")
    good, altered, unsigned = log.told
    assert (good["signed_by"], good["status"]) == (KEY.key_id, 201)
    assert (altered["rule"], altered["outcome"]) == ("signatures", Outcome.NOT_EXECUTED)
    assert "signed_by" not in altered
    assert (unsigned["rule"], unsigned["verb"]) == ("signatures", "create")
