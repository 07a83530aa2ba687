import pytest

from cloud_connect_relay.api.link_header import rewrite_links

BASE = "https://relay.example/api/datasources/ds_1/procore"


def test_every_target_stays_in_the_tunnel_and_nothing_else_changes() -> None:
    link = (
        '<https://api.procore.com/rest/v1.0/projects/5/rfis?page=1&per_page=50>; rel="first", '
        "<https://api.procore.com/rest/v1.0/projects/5/rfis?page=3&filters%5Ba%5D=%22x%22>; "
        'rel="next"'
    )
    assert rewrite_links(link, base=BASE) == (
        f'<{BASE}/rest/v1.0/projects/5/rfis?page=1&per_page=50>; rel="first", '
        f'<{BASE}/rest/v1.0/projects/5/rfis?page=3&filters%5Ba%5D=%22x%22>; rel="next"'
    )


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:9000/rest/v1.0/me",
        "HTTPS://us02.procore.com/rest/v1.0/me",
        "/rest/v1.0/me",
        "//api.procore.com/rest/v1.0/me",
    ],
)
def test_no_kind_of_target_leaves_the_tunnel(target: str) -> None:
    assert rewrite_links(f"<{target}>; rel=next", base=BASE) == f"<{BASE}/rest/v1.0/me>; rel=next"


def test_empty_link_stays_empty() -> None:
    assert rewrite_links("", base=BASE) == ""
    assert rewrite_links("<https://api.procore.com>", base=BASE) == f"<{BASE}/>"
