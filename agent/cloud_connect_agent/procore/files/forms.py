"""Pure: the multipart form that a host takes a whole file in."""

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_connect.errors import SourceUnavailableError

__all__ = ["FileForm", "FormFile"]

_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})  # WHATWG, form data
_MAX_FIELDS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FormFile:
    """A file that goes to Procore within a form.

    Attributes:
        read: Gives its bytes from the beginning, as often as it is asked.
    """

    filename: str
    content_type: str
    size: int
    read: Callable[[], AsyncIterator[bytes]]


class FileForm:
    """Fields first, then the file, as signed forms want it.

    Args:
        fields: As Procore gave them, or wants them.
        key: What the file is called in the form.

    Raises:
        SourceUnavailableError: If the fields cannot be sent.
    """

    def __init__(
        self,
        fields: Mapping[str, object],
        *,
        filename: str,
        content_type: str,
        size: int,
        key: str = "file",
    ) -> None:
        boundary = f"cloud-connect-{secrets.token_hex(16)}"
        if len(fields) > _MAX_FIELDS:
            raise SourceUnavailableError(
                f"Procore asks for more than {_MAX_FIELDS} fields beside the file."
            )
        head = "".join(
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{name.translate(_ESCAPES)}"\r\n\r\n'
            f"{value}\r\n"
            for name, value in fields.items()
        )
        head += (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{key.translate(_ESCAPES)}"; '
            f'filename="{filename.translate(_ESCAPES)}"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        )
        self._head: Final = head.encode()
        self._tail: Final = f"\r\n--{boundary}--\r\n".encode()
        length = len(self._head) + size + len(self._tail)
        self.headers: Final = (
            (b"content-type", f"multipart/form-data; boundary={boundary}".encode("ascii")),
            (b"content-length", b"%d" % length),
        )

    async def content(self, file: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the form around the file's bytes."""
        yield self._head
        async for chunk in file:
            yield chunk
        yield self._tail
