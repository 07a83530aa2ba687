"""Every secret of a test run, and where none of them may be found afterwards.

Tests and doubles say which secrets there are (:func:`remember`) and what they saw that is to hold
none (:func:`note`); both go to files of the run, whatever process it was. At its end the run
searches them, and all logs, journals and databases that it wrote, for each secret in each spelling.
"""

import base64
import contextlib
import fnmatch
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

__all__ = ["FOLDER", "Finding", "note", "remember", "remember_document", "search", "spellings"]

FOLDER: Final = "CANARY_FOLDER"  # the variable that names the run's folder
SHORTEST: Final = 12  # characters; what is shorter stands in innocent words, too
VARIED: Final = 6  # different characters: a key of zeros is found in everything
PIECE: Final = 40  # characters of a spelling that are looked for: enough to know it by
SEARCHED: Final = (
    "*.log", "*.log.*", "*.sqlite3*", "*.toml", "*.json", "*.sealed", "*.seen", "generation",
    "*.txt", "*.tasks", "trace*",
)  # fmt: skip
LEFT_OUT: Final = ("simulator.log", "token.txt", "*needles*")  # who issues secrets knows them
HEAD: Final = 16  # characters by which a secret is recognised
STRETCH: Final = re.compile(rb"[A-Za-z0-9+/_=%.~-]{16,}")

# The members of our commands' and API's documents that are secrets.
SECRET_MEMBERS: Final = frozenset(
    {"api_key", "token", "password", "secret", "client_secret", "access_token", "refresh_token"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A secret where it must not be; which one is told by its kind alone."""

    place: str
    kind: str


def spellings(secret: str | bytes) -> set[str]:
    """Return the ways in which a secret may be written."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    found = {raw.hex(), raw.hex().upper()}
    for before in range(3):  # wherever it begins in what was encoded
        encoded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        inner = encoded[4 if before else 0 : -2]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    if isinstance(secret, str):
        found |= {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
    return {one[:PIECE] for one in found if len(one) >= SHORTEST}


def remember(kind: str, *secrets: str | bytes) -> None:
    """Look for these secrets at the end of the run."""
    lines = [
        f"{kind}\t{spelled}\n"
        for secret in secrets
        if len(secret) >= SHORTEST and len(set(secret)) >= VARIED
        for spelled in spellings(secret)
        if "\n" not in spelled
    ]
    _append("needles", "".join(lines))


def remember_document(kind: str, document: object) -> None:
    """Look for the secrets in a document of ours."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            if name in SECRET_MEMBERS and isinstance(value, str):
                remember(f"{kind}.{name}", value)
            else:
                remember_document(kind, value)
    elif isinstance(document, list):
        for item in document:
            remember_document(kind, item)


def note(kind: str, seen: str | bytes) -> None:
    """Search this, too, at the end of the run: it is to hold no secret."""
    text = seen.decode("utf-8", "replace") if isinstance(seen, bytes) else seen
    _append(f"{kind}.seen", f"{text}\n")


def _append(name: str, text: str) -> None:
    folder = os.environ.get(FOLDER)
    if not folder or not text:
        return
    stem, dot, suffix = name.partition(".")
    path = Path(folder) / f"{stem}-{os.getpid()}{dot}{suffix}"
    with path.open("a", encoding="utf-8", errors="replace") as file:
        file.write(text)


def search(folder: Path, *places: Path) -> list[Finding]:
    """Look in a run's folder and in all logs, journals and databases below *places*."""
    needles: dict[bytes, str] = {}
    for file in folder.glob("needles-*"):
        for line in file.read_text(errors="replace").splitlines():
            kind, _, spelled = line.partition("\t")
            if spelled:
                needles[spelled.encode()] = kind
    searcher = _Searcher(needles)
    return [
        Finding(place=str(path), kind=kind)
        for path in _files((folder, *places))
        for kind in sorted(searcher.kinds_in(path))
    ]


class _Searcher:
    """Finds any of thousands of secrets in a file.

    A secret is a stretch of certain characters, so only such stretches are looked at, and each
    of them once: what thousands of databases have alike costs nothing.
    """

    def __init__(self, needles: Mapping[bytes, str]) -> None:
        self._heads: Final[dict[bytes, list[tuple[bytes, str]]]] = {}
        self._whole: Final[list[tuple[bytes, str]]] = []
        for needle, kind in needles.items():
            if len(needle) >= HEAD and STRETCH.fullmatch(needle):
                self._heads.setdefault(needle[:HEAD], []).append((needle, kind))
            else:
                self._whole.append((needle, kind))
        self._clean: Final[set[bytes]] = set()

    def kinds_in(self, path: Path) -> set[str]:
        """Return the kinds of secrets that a file holds; one that is gone holds none."""
        try:
            content = path.read_bytes()
        except OSError:
            return set()
        found = {kind for needle, kind in self._whole if needle in content}
        for stretch in set(STRETCH.findall(content)) - self._clean:
            held = set(self._held(stretch))
            if held:
                found |= held
            else:
                self._clean.add(stretch)
        return found

    def _held(self, stretch: bytes) -> Iterator[str]:
        heads = self._heads
        for at in range(len(stretch) - HEAD + 1):
            for needle, kind in heads.get(stretch[at : at + HEAD], ()):
                if stretch.startswith(needle, at):
                    yield kind


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        for root, _, names in os.walk(place):
            for name in names:
                searched = any(fnmatch.fnmatch(name, pattern) for pattern in SEARCHED)
                left_out = any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OUT)
                path = Path(root) / name
                if searched and not left_out and path.is_file() and not path.is_symlink():
                    yield path  # a pipe would be waited for


def harvest_agent(home: Path) -> None:
    """Look for all that the vault of an agent holds, which a test ran."""
    from cloud_connect_agent.paths import AgentPaths
    from cloud_connect_agent.vault import vault_of

    paths = AgentPaths.of(home)
    with contextlib.suppress(Exception):  # a vault that a test broke tells nothing
        vault = vault_of(paths)
        for sealed in paths.vault_dir.glob("[!.]*.sealed"):
            value = vault.read(sealed.stem.replace("@", "/"))
            if value is None:
                continue
            try:
                remember_document("vault", json.loads(value))
            except ValueError:
                remember("agent-key", value)


def harvest_relay(data_dir: Path) -> None:
    """Look for the relay's own key and pepper."""
    for name in ("relay.key", "pepper", "relay.pepper"):
        with contextlib.suppress(OSError):
            remember("relay-key", (data_dir / name).read_bytes())


def watch_processes(event: str, arguments: tuple[Any, ...]) -> None:
    """Note the arguments and the environment of each process that is started (an audit hook)."""
    if event != "subprocess.Popen":
        return
    _, words, _, environment = arguments
    shown = [words] if isinstance(words, str | bytes) else list(words)
    variables = [f"{name}={value}" for name, value in (environment or {}).items()]
    with contextlib.suppress(Exception):  # it only watches
        note("processes", "\0".join(map(_text, (*shown, *variables))))


def _text(word: object) -> str:
    return os.fsdecode(word) if isinstance(word, str | bytes | os.PathLike) else str(word)
