from pathlib import Path

import pytest

from cloud_connect.handshake_messages import update_transcript
from cloud_connect.signing import to_bytes, to_text, verify_signature
from cloud_connect_relay.settings import RelaySettings
from doubles.relay_node import running_node

NONCE = bytes(range(32))
NOTES = "https://relay.example.com/agent"


@pytest.mark.parametrize("update", [{}, {"latest": "0.2.0", "notes": NOTES}])
async def test_operator_s_recommendation_is_signed_for_whoever_asks(
    tmp_path: Path, update: dict[str, str]
) -> None:
    async with running_node(tmp_path, update=update) as node:
        asked = {"agent_nonce": to_text(NONCE)}
        answer = await node.api.post("/api/enrol/update", json=asked, headers={"Authorization": ""})
        identity = node.store.identity
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["latest"], told["notes"]) == (update.get("latest", ""), update.get("notes", ""))
    transcript = update_transcript(
        relay_id=identity.relay_id,
        agent_nonce=NONCE,
        latest=told["latest"],
        notes=told["notes"],
    )
    assert verify_signature(identity.public_key, to_bytes(told["signature"]), transcript)


@pytest.mark.parametrize(
    "update",
    [
        {"latest": "newest"},
        {"latest": "1"},
        {"notes": "http://a.example"},
        {"notes": "https://a b"},
    ],
)
def test_only_versions_and_https_addresses_can_be_recommended(
    tmp_path: Path, update: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="update"):
        RelaySettings.model_validate({"data_dir": tmp_path, "update": update})
