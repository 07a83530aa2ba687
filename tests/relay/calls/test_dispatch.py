import asyncio

import pytest

from cloud_connect.calls import Operation
from cloud_connect_relay.calls.dispatch import Attempts
from cloud_connect_relay.calls.ending import ending
from cloud_connect_relay.calls.quotas import Quotas
from cloud_connect_relay.calls.running import RunningCall, RunningCalls
from cloud_connect_relay.calls.spec import CallSpec, Target


@pytest.fixture
def call() -> RunningCall:
    target = Target(
        datasource_id="ds_a", connector_ids=("con_a",), group=None, hosted=False, source={}
    )
    spec = CallSpec(
        subscription_id="sub_a",
        key_id=None,
        target=target,
        operation=Operation.CREATE,
        writes=True,
        timeout=60,
    )
    made = RunningCall(spec, deadline=60.0, now=1.0)
    made.started = True
    return made


def test_write_of_which_nothing_left_the_relay_has_not_started(call: RunningCall) -> None:
    Attempts().unopen(call)
    assert not call.started


def test_write_that_an_agent_may_have_seen_stays_started(call: RunningCall) -> None:
    Attempts(dispatched=1).unopen(call)
    assert call.started


def test_write_that_was_refused_unseen_may_be_sent_as_if_for_the_first_time(
    call: RunningCall,
) -> None:
    attempts = Attempts(dispatched=1)
    attempts.unseen(call)
    assert (attempts.dispatched, call.started) == (0, False)


def test_upsert_that_is_carried_out_again_stays_started_whatever_becomes_of_it(
    call: RunningCall,
) -> None:
    call.again = True
    attempts = Attempts()
    attempts.unopen(call)
    assert call.started
    attempts.dispatched = 1
    attempts.unseen(call)
    assert call.started


async def test_node_that_stops_as_a_deadline_passes_stops_in_order(call: RunningCall) -> None:
    running = RunningCalls(Quotas(max_running=8))
    admitted = running.admit(call.spec)

    async def overdue() -> None:
        async with asyncio.timeout(0) as timeout, ending(admitted, timeout):
            try:
                await asyncio.Event().wait()
            finally:
                running.close()

    with pytest.raises(TimeoutError):
        await overdue()
    assert admitted.refusal is not None
