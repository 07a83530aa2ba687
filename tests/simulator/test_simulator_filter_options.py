"""The values that a list can be filtered by."""

import httpx
import pytest

from doubles.simulator_process import PROJECT

PLACE = f"/rest/v1.0/projects/{PROJECT}"
LISTS = {"rfis": f"{PLACE}/rfis", "submittals": f"/rest/v1.1/projects/{PROJECT}/submittals"}


@pytest.mark.parametrize("name", list(LISTS))
def test_each_option_of_each_filter_finds_records(api: httpx.Client, name: str) -> None:
    filters = api.get(f"{PLACE}/{name}/filter_options").json()
    assert filters
    for one in filters:
        options = api.get(one["endpoint"]).json()
        assert options, one
        assert all(option.keys() == {"key", "value"} for option in options)
        for option in options[:3]:
            query = {f"filters[{one['key']}]": option["key"], "per_page": 1}
            assert api.get(LISTS[name], params=query).json(), (one, option)


def test_options_are_named_once_and_in_order(api: httpx.Client) -> None:
    options = api.get(f"{PLACE}/rfis/filter_options/status").json()
    assert {"key": "open", "value": "Open"} in options
    texts = [option["value"] for option in options]
    assert texts == sorted(set(texts))


def test_filter_that_the_list_has_not_is_not_found(api: httpx.Client) -> None:
    assert api.get(f"{PLACE}/rfis/filter_options/colour").status_code == 404
    assert api.get(f"{PLACE}/nothing/filter_options/status").status_code == 404
