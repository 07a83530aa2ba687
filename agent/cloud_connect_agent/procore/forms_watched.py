"""Multipart forms on their way: whose they are is said at their start and must not change."""

import re
from typing import Final

from cloud_connect.errors import Outcome, PolicyDeniedError
from cloud_connect_agent.procore.target import dotted, named

__all__ = ["MAX_PART_HEAD", "SCOPE", "FormWatch", "boundary_of", "part_of"]

SCOPE: Final = frozenset({"company_id", "project_id"})
MAX_PART_HEAD: Final = 4096  # bytes
_BOUNDARY: Final = re.compile(
    r"multipart/form-data[ \t]{0,8};[ \t]{0,8}boundary=(\"?)([0-9A-Za-z'()+_,./:=?-]{1,70})\1",
    re.IGNORECASE,
)
# What every client writes; anything else could mean another name to Procore than to us.
_DISPOSITION: Final = re.compile(
    rb'content-disposition:[ \t]{0,8}form-data;[ \t]{0,8}name="([^"\\\r\n]*)"'
    rb'(;[ \t]{0,8}filename="[^"\r\n]*")?(?:;[ \t]{0,8}filename\*=[^;"\r\n]*)?[ \t]{0,8}',
    re.IGNORECASE,
)


def boundary_of(kind: str) -> bytes | None:
    """The boundary in a content type; ``None`` if readers might take another for it."""
    found = _BOUNDARY.fullmatch(kind.strip())
    return None if found is None else found[2].encode("ascii")


def part_of(head: bytes) -> tuple[str, bool] | None:
    """The name of a part and whether it is a file; ``None`` if it is not certain."""
    lines = [line for line in head.split(b"\r\n") if line[:19].lower() == b"content-disposition"]
    found = _DISPOSITION.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None or b"\n" in head.replace(b"\r\n", b""):
        return None
    return found[1].decode("latin-1").strip().lower().removesuffix("[]"), bool(found[2])


class FormWatch:
    """Looks at the parts that come after a form's start, as they pass.

    Args:
        start: What was looked into already.
    """

    def __init__(self, boundary: bytes, start: bytes) -> None:
        self._delimiter: Final = b"\r\n--" + boundary
        last = start.rfind(self._delimiter)
        unread = last >= 0 and b"\r\n\r\n" not in start[last:]
        self._rest = start[last:] if unread else start[-len(self._delimiter) + 1 :]

    def take(self, chunk: bytes) -> None:
        """Look at the next bytes, before they go on.

        Raises:
            PolicyDeniedError: If a part names a company or project, or may do so.
        """
        data = self._rest + chunk
        at = data.find(self._delimiter)
        while at >= 0:
            begin = at + len(self._delimiter)
            end = data.find(b"\r\n\r\n", begin)
            if end < 0:
                if len(data) - begin > MAX_PART_HEAD and data[begin : begin + 2] != b"--":
                    raise _refusal()
                self._rest = data[at : begin + MAX_PART_HEAD + 4]
                return
            self._check(data[begin:end])
            at = data.find(self._delimiter, end)
        self._rest = data[-len(self._delimiter) + 1 :]

    def _check(self, head: bytes) -> None:
        if head[:2] == b"--":
            return  # the end; what follows is no part
        part = part_of(head) if len(head) <= MAX_PART_HEAD else None
        if part is None or named(part[0]) == "_method" or SCOPE & set(dotted(part[0]).split(".")):
            raise _refusal()


def _refusal() -> PolicyDeniedError:
    return PolicyDeniedError(
        "The form names a company or project behind its files, or may do so; name them before. "
        "(rule body-binding)",
        outcome=Outcome.UNKNOWN,  # a part of it went out, though never the whole
    )
