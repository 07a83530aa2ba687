"""The secrets that live in this process, so that every sink masks them by value.

What :mod:`cloud_connect.redact` does not recognise by its name or shape is recognised here because
it is known: plain, escaped, URL-encoded, in base64 or hex, and in parts that are long enough to be
of use to somebody.
"""

import base64
import json
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote

from cloud_connect.redact import MASK

__all__ = ["LiveSecrets", "learn_secret", "mask_live", "mask_live_text"]

_SHORTEST: Final = 8  # characters; what is shorter stands in innocent words, too
_LONGEST: Final = 4096  # characters of a secret that are looked for
_WINDOW: Final = 12  # characters that give a part of a secret away
_STEP: Final = 4  # so a part of 15 characters is found wherever it begins and ends
_MOST: Final = 256  # secrets; renewed tokens push the oldest out
# What encodings are written in; no quote and no backslash, so that JSON stays JSON.
_RUN: Final = re.compile(rb"[A-Za-z0-9+/_=%.~-]{12,}")
_MASK: Final = MASK.encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spelled:
    """How one secret may be written: what is looked for as a whole, and what in parts."""

    whole: frozenset[bytes]
    windows: frozenset[bytes]

    @classmethod
    def of(cls, raw: bytes, *, text: bool) -> Self:
        forms = set(_forms(raw, text=text))
        return cls(
            whole=frozenset(form for form in forms if _indivisible(form)),
            windows=frozenset(_windows(forms)),
        )


class LiveSecrets:
    """Secrets by value, and the text without them."""

    def __init__(self, *, most: int = _MOST) -> None:
        self._most: Final = most
        self._lock: Final = threading.Lock()
        self._known: Final[OrderedDict[bytes, _Spelled]] = OrderedDict()
        self._whole: tuple[bytes, ...] = ()
        self._windows: Final[Counter[bytes]] = Counter()

    def learn(self, secret: str | bytes) -> None:
        """Mask *secret* from here on, until many newer ones are known."""
        raw = secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogatepass")
        raw = raw[:_LONGEST]
        if len(raw) < _SHORTEST:
            return
        with self._lock:
            if raw in self._known:
                self._known.move_to_end(raw)
                return
            self._known[raw] = spelled = _Spelled.of(raw, text=isinstance(secret, str))
            self._windows.update(spelled.windows)
            while len(self._known) > self._most:
                _, old = self._known.popitem(last=False)
                for window in old.windows:
                    self._windows[window] -= 1
                    if not self._windows[window]:
                        del self._windows[window]
            # Longest first: a short form may be a part of a longer one.
            whole = {form for spelled in self._known.values() for form in spelled.whole}
            self._whole = tuple(sorted(whole, key=len, reverse=True))

    def mask(self, line: bytes) -> bytes:
        """Return *line* without the secrets; a stretch that holds a part of one goes as a whole."""
        if not self._known:
            return line
        for form in self._whole:
            if form in line:
                line = line.replace(form, _MASK)
        windows = self._windows
        found = [
            run.span()
            for run in _RUN.finditer(line)
            if any(
                line[at : at + _WINDOW] in windows
                for at in range(run.start(), run.end() - _WINDOW + 1, _STEP)
            )
            or line[run.end() - _WINDOW : run.end()] in windows
        ]
        for start, end in reversed(found):
            line = line[:start] + _MASK + line[end:]
        return line


def _windows(forms: Iterable[bytes]) -> set[bytes]:
    """Return every part that gives one of the forms away."""
    return {
        form[at : at + _WINDOW]
        for form in forms
        for at in range(len(form) - _WINDOW + 1)
        if _RUN.fullmatch(form, at, at + _WINDOW)
    }


def _indivisible(form: bytes) -> bool:
    """Whether a form is looked for as a whole: it is short, or holds blanks or quotes."""
    return len(form) < _WINDOW + _STEP or not _RUN.fullmatch(form)


def _forms(raw: bytes, *, text: bool) -> Iterator[bytes]:
    """Yield the ways in which a secret may be written."""
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for before in range(3):  # it may stand anywhere in what was encoded, such as behind a name
        encoded = base64.b64encode(bytes(before) + raw)
        # The ends depend on the neighbours, unless there are none.
        inner = encoded[(0, 2, 3)[before] : len(encoded) - (0, 3, 2)[(before + len(raw)) % 3]]
        yield from (inner, inner.replace(b"+", b"-").replace(b"/", b"_"))
    if not text:
        yield repr(raw)[2:-1].encode()
        return
    plain = raw.decode("utf-8", "surrogatepass")
    yield raw
    for escaped in (plain, repr(plain)[1:-1], quote(plain, safe="", errors="replace")):
        yield escaped.encode("utf-8", "surrogatepass")
        yield json.dumps(escaped)[1:-1].encode()
    quoted = quote(plain, safe="", errors="replace")
    yield quoted.replace("%20", "+").encode()
    yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), quoted).encode()


_LIVE: Final = LiveSecrets()  # of the process, as its log is


def learn_secret(*secrets: str | bytes) -> None:
    """Have each sink of this process mask these values."""
    for secret in secrets:
        _LIVE.learn(secret)


def mask_live(line: bytes) -> bytes:
    """Return *line* without the secrets of this process."""
    return _LIVE.mask(line)


def mask_live_text(text: str) -> str:
    """Do what :func:`mask_live` does, for text."""
    data = text.encode("utf-8", "surrogatepass")
    masked = _LIVE.mask(data)
    return text if masked is data else masked.decode("utf-8", "surrogatepass")
