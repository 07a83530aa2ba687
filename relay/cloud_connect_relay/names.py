"""Names that people and agents give: they stand in logs, in tables and on terminals."""

from typing import Final

__all__ = ["NAME", "PRINTABLE"]

# Control characters of both ranges are out: terminals act on those above ASCII, too.
PRINTABLE: Final = r"[^\x00-\x1f\x7f-\x9f]"
NAME: Final = rf"^{PRINTABLE}{{1,100}}$"
