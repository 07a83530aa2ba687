"""Tests of ``cloud_connect_agent.toml_lines``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect_agent.toml_lines import line_of

TEXT = """\
name = "pc"  # = not this

[log]
# level = "error"
level = "info"
"files" = 3

[procore.environments."developer-sandbox"]  # the simulator
api_url = "http://127.0.0.1:9000/?a=b"
accounts = { acme = { companies = [1, 2] } }

[proxy]
no_proxy = [
  "a.example",
  "b.example",
]
"with = sign" = 1
url = "http://proxy:3128"
tunnel.backoff_cap = 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("name", 1),
        ("log", 3),
        ("log.level", 5),
        ("log.files", 6),
        ("procore", 8),
        ("procore.environments.developer-sandbox", 8),
        ("procore.environments.developer-sandbox.api_url", 9),
        ("procore.environments.developer-sandbox.accounts.acme.companies", 10),
        ("proxy.no_proxy", 13),
        ("proxy.with = sign", 17),
        ("proxy.url", 18),
        ("proxy.tunnel.backoff_cap", 19),
        ("log.missing", 3),
        ("missing", None),
    ],
)
def test_a_setting_is_found_on_its_line(path: str, line: int | None) -> None:
    assert line_of(TEXT, path.split(".")) == line


@pytest.mark.parametrize("text", ["", "[", "= 1", "[[", "a", "[]\n=", "\x00 = 1"])
def test_what_is_no_toml_has_no_lines(text: str) -> None:
    assert line_of(text, ("a",)) is None


@given(st.text(alphabet="[]{}=\".#'ab0\n \\,", max_size=200), st.lists(st.text("ab0"), max_size=3))
def test_any_text_has_a_line_or_none(text: str, path: list[str]) -> None:
    found = line_of(text, path)
    assert found is None or 1 <= found <= len(text.splitlines())
