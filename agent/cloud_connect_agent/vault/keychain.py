"""The keychain of macOS, through its own tool. Never run on a Mac so far.

The tool takes its commands on standard input, so the key is in no process's arguments.
"""

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cloud_connect.errors import VaultLockedError
from cloud_connect_agent.vault.keys import KEY_BYTES, KeyKind

__all__ = ["Keychain"]

_SERVICE: Final = "cloud-connect vault"
_SECONDS: Final = 20.0
_NO_SUCH_ITEM: Final = 44  # errSecItemNotFound, as the tool's exit status has it

Tool = Callable[[str], tuple[int, str]]


def _security(commands: str) -> tuple[int, str]:
    """Run the tool; return its exit status and what it said."""
    done = subprocess.run(
        ["/usr/bin/security", "-q", "-i"],
        input=commands,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    return done.returncode, done.stdout


class Keychain:
    """The key as a generic password of the login keychain, named by the vault's folder."""

    kind: Final = KeyKind.KEYCHAIN

    def __init__(self, folder: Path, *, tool: Tool = _security) -> None:
        self._item: Final = f"-s {shlex.quote(_SERVICE)} -a {shlex.quote(str(folder.absolute()))}"
        self._tool: Final = tool

    def load(self) -> bytes | None:
        """Return the key, ``None`` if there is none."""
        said = self._ask(f"find-generic-password {self._item} -w")
        if said is None:
            return None
        try:
            key = bytes.fromhex(said.strip())
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise VaultLockedError(
                "What the keychain holds as the vault's key is none; unenrol this PC and enrol it "
                "again."
            )
        return key

    def create(self) -> bytes:
        """Put a key into the keychain."""
        key = os.urandom(KEY_BYTES)
        self._ask(f"add-generic-password {self._item} -U -w {key.hex()}")
        if self.load() != key:
            raise VaultLockedError("The keychain did not keep the vault's key.")
        return key

    def destroy(self) -> None:
        """Take the key out of the keychain."""
        self._ask(f"delete-generic-password {self._item}")

    def _ask(self, command: str) -> str | None:
        try:
            status, said = self._tool(f"{command}\n")
        except (OSError, subprocess.SubprocessError) as exc:
            raise VaultLockedError("The keychain cannot be asked for the vault's key.") from exc
        if status == _NO_SUCH_ITEM:
            return None
        if status:
            raise VaultLockedError(
                "The keychain that holds the vault's key is locked or refuses: sign in as the "
                "person who made the vault, unlock it and try again."
            )
        return said
