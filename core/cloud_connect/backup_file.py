"""A backup in one file: a tar archive in sealed pieces that only its passphrase opens.

The file is a line of JSON that says what it is, readable by anybody, and then pieces of 1 MiB, each
sealed with AES-256-GCM. The key is made of the passphrase by scrypt; a piece is bound to the
line, to its number and to whether it is the last one, so that none can be left out, moved or
added. Nothing is given out that was not authenticated; only the end says that it is whole.
"""

import hashlib
import hmac
import io
import os
import tarfile
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_connect.errors import CloudConnectError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "BackupError",
    "BackupHead",
    "BackupReader",
    "BackupWriter",
    "nothing_changed",
    "read_backup",
    "seal_backup",
]

_FORMAT: Final = 1
_PIECE_BYTES: Final = 1024 * 1024
_TAG_BYTES: Final = 16
_MAX_HEAD_BYTES: Final = 4096
_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32
_CHECK_BYTES: Final = 16
_NAMES: Final = {
    "agent": ("an agent", "cloud-connect"),
    "relay": ("a relay", "cloud-connect-relay"),
}
_COST: Final = 2**17  # scrypt's N: 128 MiB and some 0.4 s for each guess


class BackupError(CloudConnectError):
    """A backup cannot be made, or not be read."""


class BackupHead(BaseModel):
    """What a backup says of itself without its passphrase.

    Attributes:
        kind: Whose it is: ``agent`` or ``relay``.
        made_at: UNIX seconds.
        program: The version that made it.
        check: Tells a wrong passphrase from a damaged file.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    cloud_connect_backup: int = _FORMAT
    kind: Literal["agent", "relay"]
    made_at: float = Field(ge=0, le=253_402_300_799)
    program: str = Field(max_length=64)
    salt: str = Field(pattern=r"^[0-9a-f]{32}$")
    check: str = Field(pattern=r"^[0-9a-f]{32}$")

    @property
    def made(self) -> str:
        """When it was made, for people."""
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.made_at))


class BackupWriter:
    """Takes what belongs into the backup."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar: Final = tar

    def add(self, name: str, data: bytes) -> None:
        """Add a member."""
        self.copy(name, io.BytesIO(data), len(data))

    def copy(self, name: str, source: IO[bytes], size: int) -> None:
        """Add the first *size* bytes of *source*, which may grow meanwhile."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self._tar.addfile(member, source)


class BackupReader:
    """Gives the members, each once and in their order.

    Attributes:
        head: What the backup says of itself.
    """

    def __init__(self, head: BackupHead, tar: tarfile.TarFile) -> None:
        self.head: Final = head
        self._tar: Final = tar

    def members(self) -> Iterator[tuple[str, IO[bytes]]]:
        """Yield each member's name and content; read it before the next one.

        Raises:
            BackupError: If a piece is damaged or missing.
        """
        for member in self._tar:
            content = self._tar.extractfile(member) if member.isreg() else None
            if content is None:
                raise BackupError("The backup holds something that is no file; it is not ours.")
            yield member.name, content


@contextmanager
def seal_backup(
    path: Path, passphrase: str, *, kind: Literal["agent", "relay"], program: str, made_at: float
) -> Iterator[BackupWriter]:
    """Make the backup *path*, which is there only once the block has ended without an error.

    Args:
        made_at: UNIX seconds.

    Raises:
        BackupError: If there is a file already, or the disk does not take this one.
    """
    salt = os.urandom(_SALT_BYTES)
    key, check = _keys(passphrase, salt)
    head = BackupHead(
        kind=kind, made_at=made_at, program=program, salt=salt.hex(), check=check.hex()
    )
    line = head.model_dump_json().encode() + b"\n"
    try:
        if path.exists():
            raise BackupError(f"{path} is there already; name another file.")
        descriptor, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    except PermissionError as exc:
        raise BackupError(
            f"The account that runs this command may not write {path.absolute()} ({exc.strerror}); "
            f"name a file where it may, such as /var/tmp/{path.name}, and move it from there."
        ) from exc
    except OSError as exc:
        raise BackupError(f"{path} cannot be written: {exc.strerror}.") from exc
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(line)
            sealer = _Sealer(file, key, line)
            with tarfile.open(fileobj=sealer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                yield BackupWriter(tar)
            sealer.end()
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as exc:
        draft.unlink(missing_ok=True)
        if exc.filename in {None, name}:
            raise BackupError(f"{path} cannot be written: {exc.strerror}.") from exc
        raise
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def nothing_changed(folder: Path) -> Iterator[None]:
    """Say of what fails while a backup is unpacked into *folder* that it has cost nothing yet."""
    try:
        yield
    except OSError as exc:
        raise BackupError(
            f"{exc.filename or folder} cannot be used ({exc.strerror}); nothing has changed. Mend "
            "that, or make room, and restore again."
        ) from exc


@contextmanager
def read_backup(
    path: Path, passphrase: str, *, kind: Literal["agent", "relay"]
) -> Iterator[BackupReader]:
    """Open a backup; that it is whole is certain when the block has ended without an error.

    Raises:
        BackupError: If it is none of that kind, the passphrase is wrong, or it is damaged.
    """
    try:
        file = path.open("rb")
    except PermissionError as exc:
        raise BackupError(
            f"The account that runs this command may not read {path.absolute()} ({exc.strerror}); "
            "copy it to where it may, such as /var/tmp, and give the copy to that account."
        ) from exc
    except OSError as exc:
        raise BackupError(f"{path} cannot be read: {exc.strerror}.") from exc
    with file:
        line = file.readline(_MAX_HEAD_BYTES)
        head = _head_of(line, path)
        if head.kind != kind:
            whose, program = _NAMES[head.kind]
            raise BackupError(
                f"{path} is the backup of {whose}: restore it with `{program} restore`."
            )
        key, check = _keys(passphrase, bytes.fromhex(head.salt))
        if not hmac.compare_digest(check.hex(), head.check):
            raise BackupError(f"The passphrase is not the one that {path} was made with.")
        opener = _Opener(file, key, line, path)
        try:
            with tarfile.open(fileobj=opener, mode="r|") as tar:
                yield BackupReader(head, tar)
        except tarfile.TarError as exc:
            raise BackupError(f"{path} is damaged: {exc}.") from exc
        opener.finish()


def _head_of(line: bytes, path: Path) -> BackupHead:
    try:
        head = BackupHead.model_validate_json(line)
    except ValidationError as exc:
        raise BackupError(f"{path} is no backup of Cloud Connect.") from exc
    if head.cloud_connect_backup != _FORMAT:
        raise BackupError(
            f"{path} is a backup of format {head.cloud_connect_backup}, made by version "
            f"{head.program[:20]}; this one reads format {_FORMAT}. Restore it with that version."
        )
    return head


def _keys(passphrase: str, salt: bytes) -> tuple[bytes, bytes]:
    """Return the key, and what recognises it without the content."""
    text = unicodedata.normalize("NFC", passphrase).encode()
    made = Scrypt(salt=salt, length=_KEY_BYTES + _CHECK_BYTES, n=_COST, r=8, p=1).derive(text)
    return made[:_KEY_BYTES], made[_KEY_BYTES:]


def _nonce(number: int, *, last: bool) -> bytes:
    # The key is of one file only: numbers never repeat under it.
    return number.to_bytes(11) + bytes([last])


class _Sealer(io.RawIOBase):
    """A file for writing that seals what it gets."""

    def __init__(self, file: IO[bytes], key: bytes, head: bytes) -> None:
        self._file: Final = file
        self._cipher: Final = AESGCM(key)
        self._head: Final = hashlib.sha256(head).digest()
        self._waiting = bytearray()
        self._number = 0

    def write(self, data: "Buffer", /) -> int:
        size = len(memoryview(data))
        self._waiting += data
        while len(self._waiting) > _PIECE_BYTES:  # the last piece is never empty by chance
            piece = bytes(self._waiting[:_PIECE_BYTES])
            del self._waiting[:_PIECE_BYTES]
            self._seal(piece, last=False)
        return size

    def end(self) -> None:
        self._seal(bytes(self._waiting), last=True)

    def _seal(self, piece: bytes, *, last: bool) -> None:
        nonce = _nonce(self._number, last=last)
        self._number += 1
        self._file.write(self._cipher.encrypt(nonce, piece, self._head))


class _Opener(io.RawIOBase):
    """A file for reading that opens the pieces, one ahead of what is asked for."""

    def __init__(self, file: IO[bytes], key: bytes, head: bytes, path: Path) -> None:
        self._file: Final = file
        self._cipher: Final = AESGCM(key)
        self._head: Final = hashlib.sha256(head).digest()
        self._path: Final = path
        self._ahead = file.read(_PIECE_BYTES + _TAG_BYTES)
        self._ready = b""
        self._number = 0
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        while not self._ready and not self._ended:
            self._open()
        given, self._ready = self._ready[:size], self._ready[size:]
        return given

    def finish(self) -> None:
        """Read to the end: only there it shows that nothing was cut off."""
        while not self._ended:
            self._open()

    def _open(self) -> None:
        piece, self._ahead = self._ahead, self._file.read(_PIECE_BYTES + _TAG_BYTES)
        last = not self._ahead
        nonce = _nonce(self._number, last=last)
        self._number += 1
        try:
            self._ready = self._cipher.decrypt(nonce, piece, self._head)
        except (InvalidTag, ValueError) as exc:
            raise BackupError(
                f"{self._path} is damaged or not whole; nothing of it was used."
            ) from exc
        self._ended = last
