"""Masks what must not leave this PC: secrets by name, shape and value, and who people are."""

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from cloud_connect.errors import CloudConnectError
from cloud_connect.live_secrets import learn_secret, mask_live_text
from cloud_connect.redact import MASK, is_secret_name, may_hold_secret, redact, redact_text
from cloud_connect_agent.paths import AgentPaths

__all__ = ["Scrubber", "learn_vault"]

# Linear in the text's length: neither part can begin again within the other.
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_ACCOUNT_FOLDER: Final = re.compile(
    r"(?i)((?:/home|/Users|\\{1,2}Users|\bDocuments and Settings)[/\\]{1,2})([^/\\\"'\s:,;]{1,64})"
)
_MAYBE_SOMEBODY: Final = re.compile(r"(?i)/home|users|documents and|login|user|email|\\u")
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_names_secret: Final = lru_cache(maxsize=512)(is_secret_name)  # names of facts are few
_WHO: Final = frozenset({"login", "username", "user", "email", "user_name"})


class Scrubber:
    """Masks texts and documents.

    Args:
        home: The folder of whoever runs this; ``~`` stands for it.
    """

    def __init__(self, home: Path | None = None) -> None:
        self._home: Final = str(home) if home is not None and len(home.parts) > 1 else None

    def text(self, text: str) -> str:
        """Return plain text without what must not leave."""
        return self._leaf(redact_text(text))

    def document(self, value: object) -> object:
        """Return a document of mappings, lists and plain values likewise."""
        return self._each(redact(value))

    def line(self, line: str) -> str:
        """Return a line of a log; one that is JSON stays JSON."""
        try:
            value = json.loads(line)
        except ValueError:
            return self.text(line)
        if self._looks_harmless(line, value):
            return mask_live_text(line)
        return json.dumps(self.document(value), ensure_ascii=False)

    def _looks_harmless(self, line: str, value: object) -> bool:
        """Whether only secrets by their value are left to look for: most of a log is like that."""
        return (
            isinstance(value, dict)
            and line.isascii()
            and not may_hold_secret(line.encode("ascii"))
            and _MAYBE_SOMEBODY.search(line) is None
            and (self._home is None or self._home not in line)
            and all(type(one) in _PLAIN and not _names_secret(name) for name, one in value.items())
        )

    def dump(self, value: object) -> bytes:
        """Return a document as the text of a file."""
        return (json.dumps(self.document(value), indent=2, ensure_ascii=False) + "\n").encode()

    def _each(self, value: object) -> object:
        if isinstance(value, str):
            return self._leaf(value)
        if isinstance(value, Mapping):
            return {
                self._leaf(str(name)): MASK
                if str(name).lower() in _WHO and isinstance(one, str) and one
                else self._each(one)
                for name, one in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._each(one) for one in value]
        return value

    def _leaf(self, text: str) -> str:
        text = mask_live_text(text)
        if self._home is not None:
            text = text.replace(self._home, "~")
        text = _ACCOUNT_FOLDER.sub(rf"\1{MASK}", text)
        return _EMAIL.sub(f"{MASK}@{MASK}", text)


def learn_vault(paths: AgentPaths) -> str | None:
    """Have all that the vault holds masked by value; say why, if it cannot be opened."""
    from cloud_connect_agent.vault import vault_of

    try:
        if not paths.vault_dir.is_dir():
            return None
        vault = vault_of(paths)
        for sealed in sorted(paths.vault_dir.glob("[!.]*.sealed")):
            value = vault.read(sealed.stem.replace("@", "/"))
            if value is not None:
                _learn(value)
    except CloudConnectError as exc:
        return exc.message
    except OSError as exc:
        return f"The vault cannot be read: {exc.strerror}."
    return None


def _learn(value: bytes) -> None:
    try:
        document = json.loads(value)
    except ValueError:
        learn_secret(value)
        return
    _walk(document, learn_secret)


def _walk(value: object, tell: Callable[[str], None], name: str = "") -> None:
    if isinstance(value, Mapping):
        for key, one in value.items():
            _walk(one, tell, str(key))
    elif isinstance(value, list):
        for one in value:
            _walk(one, tell, name)
    elif isinstance(value, str) and is_secret_name(name):
        tell(value)
