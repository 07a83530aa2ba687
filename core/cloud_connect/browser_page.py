"""What a person's browser ends on after signing in at Procore: the page, and why it says no."""

import base64
import hashlib
from html import escape
from typing import Final

__all__ = ["DENIED", "PAGE_HEADERS", "render_page", "without_code"]

DENIED: Final = "access_denied"  # RFC 6749, 4.1.2.1: the person, or Procore on their behalf

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:17px/1.6 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1.5rem}"
    "h1{font-size:1.5rem}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

# Its address holds a code: nothing may keep it, nothing may be sent on from it.
PAGE_HEADERS: Final = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    (
        "content-security-policy",
        (
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none';"
            " form-action 'none'; frame-ancestors 'none'"
        ),
    ),
)


def render_page(title: str, *sentences: str) -> bytes:
    """Return a calm page without scripts, links or anything to load."""
    body = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    ).encode()


def without_code(error: str | None) -> str:
    """Say why the browser came back without a code.

    Args:
        error: What came instead; of a stranger's making, so it is not repeated.
    """
    if error == DENIED:
        return "Procore's page was closed with Deny; nothing was changed."
    return "Procore sent the browser back without a code; nothing was changed."
