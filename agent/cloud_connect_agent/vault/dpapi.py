"""A key file that Windows seals (DPAPI, machine scope), with an access list of its own.

Machine scope, because the service's account has no profile whose key would do: whoever runs code on
this machine *and* may read the file can open it. So the access list counts as much as the sealing:
the system, administrators, the account that made it, and the service whose folder it is in.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cloud_connect.errors import CloudConnectError, VaultLockedError
from cloud_connect_agent.durable import write_durably
from cloud_connect_agent.vault.keys import KEY_BYTES, KeyKind

__all__ = ["Dpapi"]

_ENTROPY: Final = b"cloud-connect vault key v1"  # so that no other program's blob is taken for ours
_LOCAL_MACHINE: Final = 0x4  # CRYPTPROTECT_LOCAL_MACHINE
_UI_FORBIDDEN: Final = 0x1  # CRYPTPROTECT_UI_FORBIDDEN

Seal = Callable[[bytes], bytes]


class Dpapi:
    """The key in a sealed file; copied to another machine it stays shut."""

    kind: Final = KeyKind.DPAPI

    def __init__(
        self,
        file: Path,
        *,
        seal: Seal | None = None,
        unseal: Seal | None = None,
        protect: Callable[[Path], None] | None = None,
    ) -> None:
        self._file: Final = file
        self._seal: Final = seal or _seal
        self._unseal: Final = unseal or _unseal
        self._protect: Final = protect or _protect

    def load(self) -> bytes | None:
        """Return the key, ``None`` if there is none."""
        try:
            sealed = self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise VaultLockedError(
                f"The key file {self._file.name} cannot be read: {exc.strerror}."
            ) from exc
        try:
            key = self._unseal(sealed)
        except OSError as exc:
            raise VaultLockedError(
                f"Windows does not open the key file {self._file.name}: it was sealed on another "
                "machine, or is damaged. Run `cloud-connect enrol --force` to begin again."
            ) from exc
        if len(key) != KEY_BYTES:
            raise VaultLockedError(f"The key file {self._file.name} holds no key of a vault.")
        return key

    def create(self) -> bytes:
        """Make the file; its access list is set before it holds anything."""
        key = os.urandom(KEY_BYTES)
        write_durably(self._file, b"")
        self._protect(self._file)
        with self._file.open("r+b") as file:  # in place: another file would have another list
            file.write(self._seal(key))
            file.flush()
            os.fsync(file.fileno())
        return key

    def destroy(self) -> None:
        """Remove the file."""
        self._file.unlink(missing_ok=True)


def _protect(file: Path) -> None:
    """Leave *file* to the system, administrators, this account and the folder's service."""
    from cloud_connect_agent.hosting import windows_security
    from cloud_connect_agent.hosting.windows_access import key_access, services_in

    try:
        # Whoever enrols a service is an administrator; what opens the vault later is the service.
        folder = windows_security.access_of(str(file.parent))
        services = frozenset[str]() if folder is None else services_in(folder)
        own = windows_security.own_account()
        windows_security.set_access(str(file), key_access(own, *services))
    except CloudConnectError as exc:
        file.unlink(missing_ok=True)
        raise VaultLockedError(
            f"The access list of {file.name} could not be set, so no key was written there: "
            f"{exc.message}"
        ) from exc


if sys.platform == "win32":

    class _Blob(ctypes.Structure):
        _fields_ = (("size", ctypes.c_uint32), ("data", ctypes.POINTER(ctypes.c_char)))

    def _call(name: str, data: bytes) -> bytes:
        function = getattr(ctypes.WinDLL("crypt32", use_last_error=True), name)
        given = _Blob(len(data), ctypes.create_string_buffer(data, len(data)))
        entropy = _Blob(len(_ENTROPY), ctypes.create_string_buffer(_ENTROPY, len(_ENTROPY)))
        made = _Blob()
        flags = _UI_FORBIDDEN | (_LOCAL_MACHINE if name == "CryptProtectData" else 0)
        done = function(
            ctypes.byref(given), None, ctypes.byref(entropy), None, None, flags, ctypes.byref(made)
        )
        if not done:
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            return ctypes.string_at(made.data, made.size)
        finally:
            ctypes.WinDLL("kernel32").LocalFree(made.data)

    def _seal(key: bytes) -> bytes:
        return _call("CryptProtectData", key)

    def _unseal(sealed: bytes) -> bytes:
        return _call("CryptUnprotectData", sealed)

else:

    def _seal(key: bytes) -> bytes:
        raise OSError(f"DPAPI is Windows' own; {len(key)} bytes stay unsealed")

    def _unseal(sealed: bytes) -> bytes:
        raise OSError(f"DPAPI is Windows' own; {len(sealed)} bytes stay sealed")
