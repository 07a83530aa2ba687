"""The page on which a person's browser ends after signing in at Procore."""

import base64
import hashlib
from html import escape
from typing import Final

__all__ = ["PAGE_HEADERS", "render_page"]

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
