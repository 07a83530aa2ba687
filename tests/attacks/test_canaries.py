"""The search for secrets that ends each test run finds what it has to."""

import base64
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from cloud_connect.signing import SigningKey
from doubles import canaries
from doubles.canaries import Finding, note, remember, remember_document, search

# Made up on the spot: the search of this very run must not know it.
SECRET = f"canary/{os.urandom(9).hex()}+{os.urandom(9).hex()}"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of its own, apart from the one that this test belongs to."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv(canaries.FOLDER, str(folder))
    return folder


def log(place: Path, text: str) -> None:
    (place / "agent.log").write_text(f'{{"event":"x","note":"{text}"}}\n')


def journal(place: Path, text: str) -> None:
    with sqlite3.connect(place / "journal.sqlite3") as connection:
        connection.execute("CREATE TABLE calls (body TEXT)")
        connection.execute("INSERT INTO calls VALUES (?)", (text,))
    connection.close()


def metrics(_: Path, text: str) -> None:
    note("metrics", f'cloud_connect_calls{{caller="{text}"}} 1')


def traceback(_: Path, text: str) -> None:
    note("said", f"Traceback (most recent call last):\nValueError: {text}")


def process(_: Path, text: str) -> None:
    subprocess.run([sys.executable, "-c", "", text], check=True, timeout=30)


def environment(_: Path, text: str) -> None:
    variables = {**os.environ, "CLOUD_CONNECT_X": text}
    subprocess.run([sys.executable, "-c", ""], check=True, timeout=30, env=variables)


@pytest.mark.catalogue("T122")
@pytest.mark.parametrize("leak", [log, journal, metrics, traceback, process, environment])
def test_a_secret_is_found_wherever_it_went(run: Path, tmp_path: Path, leak: object) -> None:
    place = tmp_path / "place"
    place.mkdir()
    log(place, "nothing to see")
    remember("client-secret", SECRET)
    assert search(run, place) == []
    assert callable(leak)
    leak(place, f"it is {SECRET}, you know")
    found = search(run, place)
    assert [finding.kind for finding in found] == ["client-secret"]
    assert SECRET not in str(found)


@pytest.mark.catalogue("T122")
@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET, safe=""),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(b"id:" + SECRET.encode()).decode(),
        base64.b64encode(b"some:" + SECRET.encode() + b"tail").decode(),
    ],
    ids=["plain", "url", "hex", "HEX", "base64", "behind a name", "in the middle"],
)
def test_a_secret_is_found_in_each_spelling(run: Path, tmp_path: Path, spelled: str) -> None:
    remember_document("init", {"items": [{"api_key": SECRET, "name": "not a secret at all"}]})
    log(tmp_path, f"not a secret at all {spelled}")
    assert search(run, tmp_path) == [
        Finding(place=str(tmp_path / "agent.log"), kind="init.api_key")
    ]


@pytest.mark.catalogue("T122")
def test_this_run_knows_its_secrets_and_will_be_searched() -> None:
    folder = Path(os.environ[canaries.FOLDER])
    key = SigningKey.generate()
    known = "".join(file.read_text() for file in folder.glob("needles-*"))
    assert key.seed().hex()[: canaries.PIECE] in known
