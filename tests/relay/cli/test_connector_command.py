import asyncio
from pathlib import Path

import pytest

from cloud_connect.join_token import JoinToken
from cloud_connect.signing import SigningKey
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions
from cloud_connect_relay.storage.enrolments import Applicant, Enrolments
from doubles.relay_commands import Commands


def enrol(relay: Commands, *, suspected: bool = False, approval: bool = False) -> str:
    """Enrol a connector beside the command line; its id."""
    made = relay.json("token", "create", *(("--approval",) if approval else ()))

    async def work() -> str:
        applicant = Applicant(
            public_key=SigningKey.generate().public_key,
            name="pc",
            machine="",
            os="",
            version="",
            group=None,
        )
        url = f"sqlite+aiosqlite:///{Path(relay.data_dir) / 'relay.sqlite3'}"
        async with Storage.open(url) as storage:
            token = JoinToken.parse(made["token"])
            enrolled = await Enrolments(storage).redeem(token, applicant, now=0.0)
            if suspected:
                await ConnectorSessions(storage).suspect(
                    enrolled.connector, sign="generation", now=1.0
                )
        return enrolled.connector.id

    return asyncio.run(work())


def state_of(relay: Commands, connector_id: str) -> str:
    items = relay.json("connector", "list")["items"]
    return str(next(one["state"] for one in items if one["id"] == connector_id))


def test_connector_is_listed_and_revoked(initialised: Commands) -> None:
    assert initialised("connector", "list").out.strip() == "There is no connector."
    connector_id = enrol(initialised)
    assert connector_id in initialised("connector", "list").out
    assert state_of(initialised, connector_id) == "active"
    assert initialised.json("connector", "revoke", connector_id)["id"] == connector_id
    assert state_of(initialised, connector_id) == "revoked"


def test_waiting_connector_is_approved_once(initialised: Commands) -> None:
    connector_id = enrol(initialised, approval=True)
    assert state_of(initialised, connector_id) == "pending"
    assert initialised.json("connector", "approve", connector_id)["approved"] is True
    assert state_of(initialised, connector_id) == "active"
    told = initialised("connector", "approve", connector_id)
    assert (told.status, "waits for approval" in told.err) == (1, True)


def test_suspected_connector_recovers_and_another_one_does_not(initialised: Commands) -> None:
    connector_id = enrol(initialised, suspected=True)
    assert state_of(initialised, connector_id) == "clone_suspected"
    told = initialised("connector", "recover", connector_id)
    assert (told.status, "once more" in told.out) == (0, True)
    assert state_of(initialised, connector_id) == "active"
    assert initialised("connector", "recover", connector_id).status == 1


@pytest.mark.parametrize("verb", ["approve", "recover", "revoke"])
def test_connector_that_does_not_exist_is_named(initialised: Commands, verb: str) -> None:
    told = initialised("connector", verb, "con_nobody")
    assert told.status == 1
    assert "con_nobody" in told.err
    assert "connector list" in told.err
