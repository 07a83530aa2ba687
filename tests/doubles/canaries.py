"""Every secret of a test run, and where none of them may be found afterwards.

Tests and doubles say which secrets there are (:func:`remember`) and what they saw that is to hold
none (:func:`note`); both go to files of the run, whatever process it was. At its end the run
searches them, and all logs, journals and databases that it wrote, for each secret in each spelling.
"""

import base64
import contextlib
import json
import os
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
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
GREP_SECONDS: Final = 60.0

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
    needles: dict[str, str] = {}
    for file in folder.glob("needles-*"):
        for line in file.read_text(errors="replace").splitlines():
            kind, _, spelled = line.partition("\t")
            if spelled:
                needles[spelled] = kind
    if not needles:
        return []
    patterns = folder / "needles.all"
    patterns.write_text("".join(f"{one}\n" for one in sorted(needles)))
    files = list(_files((folder, *places)))
    found: list[Finding] = []
    for start in range(0, len(files), 500):
        for path in _grep(patterns, files[start : start + 500]):
            found += _explain(path, needles)
    return found


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        for root, _, names in os.walk(place):
            for name in names:
                path = Path(root) / name
                searched = any(path.match(pattern) for pattern in SEARCHED)
                if searched and not any(path.match(pattern) for pattern in LEFT_OUT):
                    yield path


def _grep(patterns: Path, files: Collection[Path]) -> list[Path]:
    done = subprocess.run(
        ["grep", "-laFs", "-D", "skip", "-f", str(patterns), "--", *map(str, files)],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        capture_output=True,
        check=False,
        timeout=GREP_SECONDS,
    )
    return [Path(os.fsdecode(line)) for line in done.stdout.splitlines()]


def _explain(path: Path, needles: Mapping[str, str]) -> list[Finding]:
    content = ""
    with contextlib.suppress(OSError):
        content = path.read_bytes().decode("utf-8", "replace")
    kinds = {kind for spelled, kind in needles.items() if spelled in content}
    return [Finding(place=str(path), kind=kind) for kind in sorted(kinds or {"?"})]


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
