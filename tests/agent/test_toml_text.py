"""Tests of ``cloud_connect_agent.toml_text``."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.toml_text import Value, change_toml

COMMENTED = """\
# The agent of the site office.
name = "pc"  # how it is listed

[relay]
# Asked for by IT on 3 May.
url = "https://old.example.com"
key_id = 'k1'

[log]
level = "info"
"""


def test_what_is_not_changed_stays_as_people_wrote_it() -> None:
    changed = change_toml(
        COMMENTED,
        {
            ("relay", "url"): "https://new.example.com",
            ("relay", "relay_id"): "r1",
            ("relay", "key_id"): None,
            ("log", "files"): 3,
            ("procore", "environments", "live", "api_url"): "https://x",
        },
    )
    assert changed == (
        "# The agent of the site office.\n"
        'name = "pc"  # how it is listed\n\n'
        "[relay]\n"
        "# Asked for by IT on 3 May.\n"
        'url = "https://new.example.com"\n'
        'relay_id = "r1"\n\n'
        "[log]\n"
        'level = "info"\n'
        "files = 3\n\n"
        "[procore.environments.live]\n"
        'api_url = "https://x"\n'
    )


def test_the_first_setting_of_an_empty_file() -> None:
    assert change_toml("", {("name",): "pc"}) == 'name = "pc"\n'
    assert change_toml("", {}) == ""
    assert change_toml("", {("relay", "url"): None, ("name",): None}) == ""


def test_a_top_setting_goes_above_the_first_table() -> None:
    text = change_toml('[relay]\nurl = "https://x"\n', {("name",): "pc"})
    assert text == 'name = "pc"\n[relay]\nurl = "https://x"\n'


def test_headers_in_other_spellings_are_found() -> None:
    text = '[ procore . "environments" . live ] # ours\n"api_url" = "https://a"\n'
    changed = change_toml(text, {("procore", "environments", "live", "api_url"): "https://b"})
    assert tomllib.loads(changed)["procore"]["environments"]["live"]["api_url"] == "https://b"
    assert "# ours" in changed


def test_a_name_that_needs_quotes_gets_them() -> None:
    changed = change_toml("", {("a b", 'c"d'): "x"})
    assert tomllib.loads(changed) == {"a b": {'c"d': "x"}}


@pytest.mark.parametrize(
    "text",
    [
        'relay = { url = "https://x" }\n',
        'relay.url = "https://x"\n',
        "relay = 1\n",
        '[relay]\nurl = """https://\nx"""\n',
        'name = """\n[relay]\nurl = "in text"\n"""\n',
        "[[relay]]\nurl = 1\n",
    ],
)
def test_what_it_cannot_change_safely_it_leaves_to_people(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"set relay\.url.* by hand"):
        change_toml(text, {("relay", "url"): "https://y", ("relay", "key_id"): "k"})


def test_a_broken_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        change_toml("name =", {("name",): "x"})


names = st.sampled_from(["a", "b", "c d", "é", 'q"'])
paths = st.lists(names, min_size=1, max_size=3).map(tuple)
values = st.none() | st.integers(-(2**40), 2**40) | st.text(max_size=20)


@given(st.lists(st.dictionaries(paths, values, max_size=4), max_size=4))
def test_whatever_is_set_reads_back_or_is_refused(
    rounds: list[dict[tuple[str, ...], Value]],
) -> None:
    text = "# kept\nz = 1\n"
    for changes in rounds:
        try:
            text = change_toml(text, changes)
        except ConfigurationError:
            continue
        tree = tomllib.loads(text)
        assert text.startswith("# kept\n")
        assert tree["z"] == 1
        for path, value in changes.items():
            node: Any = tree
            for part in path:
                node = node.get(part, {}) if isinstance(node, dict) else {}
            if value is not None and not any(
                other != path and path[: len(other)] == other for other in changes
            ):
                assert node == value


def test_a_list_of_numbers_is_written_and_replaced() -> None:
    path = ("procore", "environments", "live", "accounts", "acme", "companies")
    once = change_toml("", {path: (1, 2**62)})
    assert tomllib.loads(once)["procore"]["environments"]["live"]["accounts"] == {
        "acme": {"companies": [1, 2**62]}
    }
    assert "companies = [3]" in change_toml(once, {path: (3,)})
