"""The console's own files: styles, scripts, pictures, under addresses that tell their content."""

import hashlib
from pathlib import Path
from typing import Final

from starlette.responses import Response

__all__ = ["Assets"]

_FOLDER: Final = Path(__file__).with_name("static")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"  # asked for by another version's address: a relay is being replaced


class Assets:
    """All files, read once.

    One hash of all of them stands in the address, so that scripts and styles name each other by
    relative paths.
    """

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._files: Final = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in _TYPES
        }
        digest = hashlib.sha256()
        for name, content in self._files.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version: Final = digest.hexdigest()[:12]

    def names(self) -> list[str]:
        """Return the paths of all files."""
        return list(self._files)

    def path(self, name: str) -> str:
        """Return the path of a file below the console, such as ``/static/1f…/css/tokens.css``.

        Raises:
            KeyError: If there is no such file: a template names it wrongly.
        """
        if name not in self._files:
            raise KeyError(f"there is no static file {name}")
        return f"/static/{self.version}/{name}"

    def answer(self, version: str, name: str) -> Response | None:
        """Return the file, if there is one."""
        content = self._files.get(name)
        if content is None:
            return None
        caching = _FOREVER if version == self.version else _ASK_AGAIN
        return Response(
            content,
            headers={"cache-control": caching},
            media_type=_TYPES[Path(name).suffix],
        )
