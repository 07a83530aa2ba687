"""What an answer's headers tell."""

import pytest

from cloud_connect_agent.procore.messages import has_next


@pytest.mark.parametrize(
    ("link", "found"),
    [
        (None, None),
        ("", False),
        ('<https://api.procore.com/rest/v1.0/x?page=3>; rel="next"', True),
        ('<https://x/y?page=1>; rel="prev", <https://x/y?page=3&a=b>; rel="next"', True),
        ("<https://x/y?page=3>;rel=Next", True),
        ('<https://x/y?page=9>; rel="last"', False),
        ('<https://x/next>; rel="nextish"', False),
        ("<" * 5000, False),
    ],
)
def test_a_next_page_is_found_in_the_link(link: str | None, *, found: bool | None) -> None:
    assert has_next(link) is found
