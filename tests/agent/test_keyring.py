import pytest

from cloud_connect.signing import SigningKey, verify_signature
from cloud_connect_agent.identity import AgentKeys
from cloud_connect_agent.keyring import Keyring
from doubles.enrolling_pc import MemoryVault


@pytest.fixture
async def keys() -> AgentKeys:
    keys = AgentKeys(MemoryVault())
    await keys.adopt(SigningKey.generate())
    return keys


async def test_new_key_is_tried_first_and_the_old_one_where_it_is_refused(keys: AgentKeys) -> None:
    ring = await Keyring.load(keys)
    old, new = ring.key, await ring.prepare()
    assert ring.key is new
    assert ring.refused(), "the old one is worth a try"
    assert ring.key is old
    assert not ring.refused(), "both are refused: that is no matter of keys"
    assert ring.key is new, "the next round begins with the new one again"


async def test_key_that_connected_is_the_only_one_and_signs(keys: AgentKeys) -> None:
    ring = await Keyring.load(keys)
    told: list[str] = []
    ring.rotated = told.append
    old, new = ring.key, await ring.prepare()
    await ring.accepted(old)
    assert (ring.following, told) == (new, []), "the old one works still: nothing has changed"
    assert verify_signature(old.public_key, ring.sign(b"m"), b"m")
    await ring.accepted(new)
    assert (ring.current, ring.following, told) == (new, None, [new.key_id])
    assert ring.public_key == new.public_key
    assert verify_signature(new.public_key, ring.sign(b"m"), b"m")
    assert (await keys.load()).key_id == new.key_id
    assert await keys.following() is None


async def test_change_that_broke_off_goes_on_after_a_restart(keys: AgentKeys) -> None:
    new = await (await Keyring.load(keys)).prepare()
    again = await Keyring.load(keys)
    assert again.key.key_id == new.key_id
    assert (await again.prepare()).key_id == new.key_id


async def test_enrolling_anew_forgets_a_change_that_was_under_way(keys: AgentKeys) -> None:
    await keys.successor()
    fresh = SigningKey.generate()
    await keys.adopt(fresh)
    ring = await Keyring.load(keys)
    assert (ring.key.key_id, ring.following) == (fresh.key_id, None)


async def test_fixed_key_has_no_successor() -> None:
    ring = Keyring(SigningKey.generate())
    assert not ring.refused()
    with pytest.raises(RuntimeError):
        await ring.prepare()
