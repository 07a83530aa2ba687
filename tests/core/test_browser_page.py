"""Tests of ``cloud_connect.browser_page``."""

import base64
import hashlib
import re

from cloud_connect.browser_page import DENIED, PAGE_HEADERS, render_page, without_code


def test_page_says_what_it_is_given_and_can_neither_run_nor_load_anything() -> None:
    page = render_page("Signed <in>", "One & two.", "<script>three</script>").decode()
    assert "<title>Signed &lt;in&gt;</title>" in page
    assert "<p>One &amp; two.</p><p>&lt;script&gt;three&lt;/script&gt;</p>" in page
    assert not re.search(r"<script|<link|<img|href=|src=", page)
    (style,) = re.findall(r"<style>(.*?)</style>", page)
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    headers = dict(PAGE_HEADERS)
    assert f"style-src 'sha256-{allowed}'" in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")


def test_what_came_instead_of_a_code_is_told_without_its_words() -> None:
    assert "closed with Deny" in without_code(DENIED)
    for stranger in ("<b>anything</b>", None):
        assert without_code(stranger) == (
            "Procore sent the browser back without a code; nothing was changed."
        )
