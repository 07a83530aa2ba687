"""The keyring of a person who is signed in at a Linux desktop (freedesktop's Secret Service)."""

import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from cloud_connect.errors import VaultLockedError
from cloud_connect_agent.vault.keys import KEY_BYTES, KeyKind

if TYPE_CHECKING:
    import secretstorage
    from jeepney.io.blocking import DBusConnection

__all__ = ["SecretService"]

log = structlog.get_logger(__name__)

_SECONDS: Final = 10.0  # for an answer; the library itself waits without end
_LABEL: Final = "Cloud Connect: key of the vault"
_T = TypeVar("_T")


class SecretService:
    """The key as an item of the default collection, named by the vault's folder.

    Never unlocks: a dialogue that appears because a daemon asks for it teaches people to type
    their password into anything.
    """

    kind: Final = KeyKind.SECRET_SERVICE

    def __init__(self, folder: Path) -> None:
        self._item: Final = {"application": "cloud-connect", "vault": str(folder.absolute())}

    def usable(self) -> bool:
        """Whether there is an unlocked keyring of the running account."""
        try:
            return _within(_unlocked)
        except VaultLockedError as exc:
            log.debug("no_secret_service", reason=exc.message)
            return False

    def load(self) -> bytes | None:
        """Return the key, ``None`` if there is none."""
        return _within(self._load)

    def create(self) -> bytes:
        """Put a key into the keyring."""
        return _within(self._create)

    def destroy(self) -> None:
        """Take the key out of the keyring."""
        _within(self._destroy)

    def _load(self) -> bytes | None:
        import secretstorage

        with closing(secretstorage.dbus_init()) as bus:
            collection = _open(bus)
            for item in collection.search_items(self._item):
                key: bytes = item.get_secret()
                if len(key) != KEY_BYTES:
                    raise VaultLockedError(
                        "What the keyring holds as the vault's key is none; run "
                        "`cloud-connect enrol --force` to begin again."
                    )
                return key
        return None

    def _create(self) -> bytes:
        import secretstorage

        key = os.urandom(KEY_BYTES)
        with closing(secretstorage.dbus_init()) as bus:
            _open(bus).create_item(
                _LABEL, self._item, key, replace=True, content_type="application/octet-stream"
            )
        return key

    def _destroy(self) -> None:
        import secretstorage

        with closing(secretstorage.dbus_init()) as bus:
            for item in _open(bus).search_items(self._item):
                item.delete()


def _open(bus: "DBusConnection") -> "secretstorage.Collection":
    import secretstorage

    collection = secretstorage.get_default_collection(bus)
    if collection.is_locked():
        raise VaultLockedError(
            "The keyring that holds the vault's key is locked: sign in at the desktop, or unlock "
            "it there, and try again."
        )
    return collection


def _unlocked() -> bool:
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        return not secretstorage.get_default_collection(bus).is_locked()


def _within(ask: Callable[[], _T]) -> _T:
    """Ask the keyring, for a bounded time.

    Raises:
        VaultLockedError: If there is none, or it does not answer.
    """
    answers: list[_T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as exc:  # noqa: BLE001 - handed to the caller below
            failures.append(exc)

    thread = threading.Thread(target=run, name="secret-service", daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if answers:
        return answers[0]
    if not failures:
        raise VaultLockedError(f"The keyring did not answer within {_SECONDS:.0f} seconds.")
    if isinstance(failures[0], VaultLockedError):
        raise failures[0]
    raise VaultLockedError(
        "The vault's key is in a keyring (Secret Service) that cannot be reached: run the agent "
        "in the desktop session of the person who made the vault."
    ) from failures[0]
