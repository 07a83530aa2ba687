"""A vault of files sealed with AES-256-GCM under a key that is kept elsewhere."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud_connect.errors import VaultLockedError
from cloud_connect.file_lock import FileInUseError, file_lock
from cloud_connect.live_secrets import learn_secret
from cloud_connect_agent.durable import (
    make_private_dir,
    private_fault,
    sync_dir,
    write_durably,
)
from cloud_connect_agent.vault.base import DamagedSecretError
from cloud_connect_agent.vault.credential import missing_credential
from cloud_connect_agent.vault.key_file import ADVICE
from cloud_connect_agent.vault.keys import KeyKind, KeyStore

__all__ = ["EncryptedVault"]

_MAGIC: Final = b"CCV1"
_NONCE_BYTES: Final = 12
_MAX_SECRET_BYTES: Final = 64 * 1024
_LOCK_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02  # between two looks at a lock that another process holds
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._-]{0,63})?")


class EncryptedVault:
    """One sealed file a secret; its name is authenticated, so files cannot be swapped.

    Each reading opens the file anew: what another process puts is seen at once.
    """

    def __init__(
        self,
        *,
        folder: Path,
        keys: KeyStore,
        record: Callable[[KeyKind], None] | None = None,
    ) -> None:
        """Use the vault in *folder*.

        Args:
            keys: Keeps the key.
            record: Notes what keeps it; called before a new vault's first secret.
        """
        self._folder: Final = folder
        self._paths: Final[dict[str, Path]] = {}
        self._keys: Final = keys
        self._record: Final = record
        self._lock_file: Final = folder / ".lock"

    async def get(self, name: str) -> bytes | None:
        """Return the secret, ``None`` if there is none."""
        return await asyncio.to_thread(self.read, name)

    async def put(self, name: str, value: bytes) -> None:
        """Keep the secret; durable when it returns, even if the caller is cancelled."""
        await asyncio.shield(asyncio.to_thread(self.write, name, value))

    async def delete(self, name: str) -> None:
        """Forget the secret."""
        await asyncio.shield(asyncio.to_thread(self.remove, name))

    @asynccontextmanager
    async def hold(self, name: str, *, seconds: float) -> AsyncIterator[None]:
        """Keep every other process that holds *name*, too, out meanwhile."""
        file = self._path(name).with_suffix(".lock")
        deadline = asyncio.get_running_loop().time() + seconds
        with ExitStack() as stack:
            try:
                await asyncio.to_thread(self._prepare)
                # Asked without waiting, again and again: a thread that waits could not be
                # cancelled, and would hold the lock for nobody afterwards.
                while not _entered(stack, file):
                    if asyncio.get_running_loop().time() >= deadline:
                        raise VaultLockedError(
                            "Another process is signing in to Procore; try again in a moment."
                        )
                    await asyncio.sleep(_POLL_SECONDS)
            except OSError as exc:
                raise VaultLockedError(f"The vault cannot be written: {exc.strerror}.") from exc
            yield

    def names(self) -> list[str]:
        """Return the names of all secrets, in their order."""
        return sorted(path.stem.replace("@", "/") for path in self._folder.glob("*.sealed"))

    def read(self, name: str) -> bytes | None:
        """Do what :meth:`get` does, blocking."""
        path = self._path(name)
        try:
            fault = private_fault(path)
            if fault is not None:
                raise VaultLockedError(f"The vault's file {path.name} {fault}; {ADVICE}")
            sealed = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise VaultLockedError(
                f"The vault's file {path.name} cannot be read: {exc.strerror}."
            ) from exc
        key, start = self._key(), len(_MAGIC)
        nonce, body = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
        try:
            # The head is authenticated with the name: another version cannot be passed off.
            value = AESGCM(key).decrypt(nonce, body, sealed[:start] + name.encode())
        except (InvalidTag, ValueError) as exc:
            raise DamagedSecretError(
                f"The vault's file {path.name} is damaged or was sealed with another key; "
                "delete it and enter that secret again."
            ) from exc
        _keep_out_of_logs(value)
        return value

    def write(self, name: str, value: bytes) -> None:
        """Do what :meth:`put` does, blocking."""
        path = self._path(name)
        _keep_out_of_logs(value)
        if len(value) > _MAX_SECRET_BYTES:
            raise VaultLockedError(f"A secret has at most {_MAX_SECRET_BYTES} bytes.")
        try:
            self._prepare()
            with file_lock(self._lock_file, timeout=_LOCK_SECONDS):
                nonce = os.urandom(_NONCE_BYTES)
                body = AESGCM(self._key(create=True)).encrypt(nonce, value, _MAGIC + name.encode())
                write_durably(path, _MAGIC + nonce + body)
        except FileInUseError as exc:
            raise VaultLockedError("Another process is writing to the vault; try again.") from exc
        except OSError as exc:
            raise VaultLockedError(f"The vault cannot be written: {exc.strerror}.") from exc

    def remove(self, name: str) -> None:
        """Do what :meth:`delete` does, blocking."""
        path = self._path(name)
        try:
            path.unlink()
            sync_dir(self._folder)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise VaultLockedError(
                f"The vault's file {path.name} cannot be deleted: {exc.strerror}."
            ) from exc

    @property
    def kind(self) -> KeyKind:
        """What keeps the key."""
        return self._keys.kind

    def is_lost(self) -> bool:
        """Whether there are secrets, but no key that could open them."""
        if not any(self._folder.glob("*.sealed")):
            return False
        try:
            return self._keys.load() is None
        except VaultLockedError:
            return True

    def destroy(self) -> None:
        """Remove the key first, which makes all the rest unreadable, then the files.

        Raises:
            OSError: If a file cannot be removed.
        """
        with suppress(VaultLockedError):  # a keyring that is away keeps a key that opens nothing
            self._keys.destroy()
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                path.unlink(missing_ok=True)
            self._folder.rmdir()

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise VaultLockedError(f"{name!r} is not a name for a secret.")
        path = self._paths.get(name)
        if path is None:  # kept, since it is asked for with each call (see `write_durably`)
            path = self._paths[name] = self._folder / f"{name.replace('/', '@')}.sealed"
        return path

    def _prepare(self) -> None:
        make_private_dir(self._folder)
        fault = private_fault(self._folder)
        if fault is not None:
            raise VaultLockedError(f"The vault's folder {self._folder.name} {fault}; {ADVICE}")

    def _key(self, *, create: bool = False) -> bytes:
        fresh = create and not any(self._folder.glob("*.sealed"))
        if fresh and self._record is not None:
            self._record(self._keys.kind)  # first: nobody would look for a key that is not noted
        key = self._keys.load()
        if key is not None:
            return key
        if fresh:
            return self._keys.create()
        raise VaultLockedError(_missing(self._keys.kind))


def _keep_out_of_logs(value: bytes) -> None:
    """Have keys masked in each log; who reads a document knows what is secret in it."""
    if not value.startswith(b"{"):
        learn_secret(value)


def _missing(kind: KeyKind) -> str:
    if kind is KeyKind.SYSTEMD_CREDENTIAL:
        return missing_credential()
    what = "key file vault.key" if kind in {KeyKind.KEY_FILE, KeyKind.DPAPI} else f"key ({kind})"
    return (
        f"The vault's {what} is missing, so its secrets are lost; "
        "run `cloud-connect enrol --force` to begin again."
    )


def _entered(stack: ExitStack, file: Path) -> bool:
    """Take the lock *file* until *stack* ends, if it is free."""
    try:
        stack.enter_context(file_lock(file))
    except FileInUseError:
        return False
    return True
