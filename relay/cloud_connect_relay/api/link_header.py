"""``Link`` headers of Procore, rewritten so that no client leaves the tunnel."""

import re
from typing import Final

__all__ = ["rewrite_links"]

# <https://api.procore.com/rest/v1.0/…>: only the origin is replaced, the rest stays to the letter
_TARGET: Final = re.compile(r"<(?:[a-z][a-z0-9+.-]*:)?(?://[^/<>?#]*)?([^<>]*)>", re.IGNORECASE)


def rewrite_links(value: str, *, base: str) -> str:
    """Return a ``Link`` header with every target below *base*, which ends without a slash."""

    def replaced(match: "re.Match[str]") -> str:
        return f"<{base}/{match[1].removeprefix('/')}>"

    return _TARGET.sub(replaced, value)
