"""Rate limits: two windows, headers on every answer, 429 in plain text."""

import time

import httpx

from doubles.simulator_process import COMPANY, LARGE_COMPANY, PROJECT, Simulator

ME = "/rest/v1.0/me"


def remaining(answer: httpx.Response) -> tuple[int, int]:
    return (
        int(answer.headers["x-rate-limit-limit"]),
        int(answer.headers["x-rate-limit-remaining"]),
    )


def test_without_limits_the_headers_are_there_all_the_same(api: httpx.Client) -> None:
    answer = api.get(ME)
    assert remaining(answer)[1] > 100_000
    assert int(answer.headers["x-rate-limit-reset"]) > time.time()


def test_spike_limit_counts_down_and_slides(simulator: Simulator, api: httpx.Client) -> None:
    simulator.behave(spike_limit=3, hourly_limit=100)
    assert [remaining(api.get(ME)) for _ in range(3)] == [(3, 2), (3, 1), (3, 0)]
    refused = api.get(ME)
    assert refused.status_code == 429
    assert refused.headers["content-type"].startswith("text/plain")
    assert refused.text.startswith("You have surpassed the max number of requests for an hour.")
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert remaining(refused) == (3, 0)
    assert simulator.counters()["rate_limited"] == 1
    simulator.state(advance_seconds=11)
    assert remaining(api.get(ME)) == (3, 2)


def test_switch_that_is_no_limit_leaves_the_windows_as_they_are(
    simulator: Simulator, api: httpx.Client
) -> None:
    simulator.behave(spike_limit=3)
    api.get(ME)
    simulator.behave(scan_seconds=5, url_seconds=60, link_seconds=60)
    assert remaining(api.get(ME)) == (3, 1)


def test_hourly_limit_is_reported_when_it_is_tighter(
    simulator: Simulator, api: httpx.Client
) -> None:
    simulator.behave(spike_limit=25, hourly_limit=4)
    assert [remaining(api.get(ME))[0] for _ in range(4)] == [4, 4, 4, 4]
    simulator.state(advance_seconds=20)
    refused = api.get(ME)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 3000
    assert int(refused.headers["x-rate-limit-reset"]) > time.time() + 3000


def test_retry_after_can_be_left_out_but_not_the_reset(
    simulator: Simulator, api: httpx.Client
) -> None:
    simulator.behave(hourly_limit=1, retry_after=False)
    api.get(ME)
    refused = api.get(ME)
    assert "retry-after" not in refused.headers
    assert "x-rate-limit-reset" in refused.headers


def test_limit_can_be_said_to_be_used_up(simulator: Simulator, api: httpx.Client) -> None:
    simulator.fault({"kind": "rate_limited", "retry_after": 60}, times=1)
    refused = api.get(ME)
    assert refused.status_code == 429
    assert refused.headers["x-rate-limit-remaining"] == "0"
    now = simulator.state()["now"]
    assert 55 < int(refused.headers["x-rate-limit-reset"]) - now <= 61
    assert int(api.get(ME).headers["x-rate-limit-remaining"]) > 0


def test_fixed_window_forgets_all_at_once(simulator: Simulator, api: httpx.Client) -> None:
    simulator.behave(spike_limit=2, window="fixed")
    api.get(ME)
    simulator.state(advance_seconds=6)
    api.get(ME)
    assert api.get(ME).status_code == 429
    simulator.state(advance_seconds=5)
    assert remaining(api.get(ME)) == (2, 1)


def test_each_company_has_its_own_allowance(simulator: Simulator, api: httpx.Client) -> None:
    simulator.behave(spike_limit=1)
    assert api.get(ME).status_code == 200
    assert api.get(ME).status_code == 429
    assert api.get(ME, headers={"Procore-Company-Id": str(LARGE_COMPANY)}).status_code == 200
    with simulator.client(user=True) as other:
        assert other.get(ME).status_code == 200


def test_version_two_answers_its_own_shape(simulator: Simulator, api: httpx.Client) -> None:
    simulator.behave(spike_limit=1)
    path = f"/rest/v2.0/companies/{COMPANY}/projects/{PROJECT}/submittals"
    api.get(path)
    refused = api.get(path)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "TOO_MANY_REQUESTS"


def test_refused_request_executes_nothing(simulator: Simulator, api: httpx.Client) -> None:
    simulator.behave(hourly_limit=1)
    api.get(ME)
    body = {"company_id": COMPANY, "vendor": {"name": "Late"}}
    assert api.post("/rest/v1.0/vendors", json=body).status_code == 429
    assert simulator.ledger() == []
