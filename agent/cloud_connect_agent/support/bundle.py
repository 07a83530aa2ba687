"""The bundle itself: parts, the list of what is in them, and the file."""

import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cloud_connect.errors import CloudConnectError

__all__ = ["Bundle", "Part"]

_FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a bundle.

    Attributes:
        purpose: What it is for, for whoever decides whether to send it.
        holds: What in it could lead to a person or a customer, in words.
    """

    name: str
    purpose: str
    data: bytes
    holds: tuple[str, ...] = ()

    def listed(self) -> dict[str, object]:
        """Return its entry in the list."""
        return {
            "name": self.name,
            "bytes": len(self.data),
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "purpose": self.purpose,
            "holds": list(self.holds),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Parts, and what to know about them.

    Attributes:
        remarks: What is left out, and what could not be had.
    """

    parts: Sequence[Part]
    version: str
    made_at: str
    remarks: Sequence[str] = ()

    def manifest(self) -> dict[str, object]:
        """List what is inside; the list does not list itself."""
        return {
            "format": _FORMAT,
            "made_at": self.made_at,
            "version": self.version,
            "remarks": list(self.remarks),
            "files": [part.listed() for part in self.parts],
        }

    def write(self, file: Path) -> int:
        """Write the zip, readable by this account alone; return its size.

        Raises:
            CloudConnectError: If the file is there already, or cannot be written.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(file, flags, 0o600)
        except FileExistsError as exc:
            raise CloudConnectError(
                f"{file} is there already; name another file with -o FILE."
            ) from exc
        except OSError as exc:
            raise CloudConnectError(f"{file} cannot be written: {exc.strerror}.") from exc
        try:
            with os.fdopen(descriptor, "wb") as opened:
                return self.pour(opened)
        except OSError as exc:
            file.unlink(missing_ok=True)
            raise CloudConnectError(f"{file} cannot be written: {exc.strerror}.") from exc
        except BaseException:
            file.unlink(missing_ok=True)
            raise

    def pour(self, opened: IO[bytes]) -> int:
        """Write the zip to a file or pipe that is open; return its size."""
        manifest = (json.dumps(self.manifest(), indent=2, ensure_ascii=False) + "\n").encode()
        files = [(_MANIFEST, manifest), *((part.name, part.data) for part in self.parts)]
        now = time.gmtime()[:6]
        made = io.BytesIO()  # some megabytes: a pipe cannot be gone back in
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files:
                entry = zipfile.ZipInfo(name, date_time=now)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o600 << 16
                archive.writestr(entry, data)
        opened.write(made.getbuffer())
        opened.flush()
        return made.tell()
