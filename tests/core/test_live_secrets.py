"""Tests of ``cloud_connect.live_secrets``, and of the sinks that ask it."""

import base64
import io
import json
import logging
import time
from pathlib import Path
from urllib.parse import quote, quote_plus

import click
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect import live_secrets
from cloud_connect.command_line import ExitStatus, run_and_exit
from cloud_connect.errors import CloudConnectError
from cloud_connect.live_secrets import LiveSecrets, learn_secret, mask_live, mask_live_text
from cloud_connect.log import configure

CANARY = "cAnArY-7Qx9/hT2+vB4=zL6wK8mN0pR3sD5f"
RAW = bytes(range(200, 232))


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_secrets, "_LIVE", LiveSecrets())


def spellings(secret: bytes) -> dict[str, str]:
    """Every way in which a careless line may spell a secret."""
    text = secret.decode("latin-1")
    found = {
        "hex": secret.hex(),
        "upper hex": secret.hex().upper(),
        "base64": base64.b64encode(secret).decode(),
        "urlsafe": base64.urlsafe_b64encode(secret).decode(),
        "basic": base64.b64encode(b"client-1:" + secret).decode(),
        "basic, and more": base64.b64encode(b"id:" + secret + b":rest").decode(),
    }
    if text.isascii():
        found |= {
            "plain": text,
            "json": json.dumps(text),
            "json twice": json.dumps(json.dumps(text)),
            "url": quote(text, safe=""),
            "url, slashes kept": quote(text),
            "form": quote_plus(text),
        }
    else:
        found["repr"] = repr(secret)
    return found


def parts_of(spelled: str, *, size: int = 15) -> set[str]:
    plain = spelled.strip('"').strip("b'")
    return {plain[at : at + size] for at in range(3, len(plain) - size - 3)}


@pytest.mark.parametrize("secret", [CANARY.encode(), RAW], ids=["text", "bytes"])
def test_a_secret_is_masked_however_it_is_spelled(secret: bytes) -> None:
    known = LiveSecrets()
    known.learn(secret.decode() if secret.isascii() else secret)
    for name, spelled in spellings(secret).items():
        masked = known.mask(f"before {spelled} after".encode()).decode()
        assert masked.startswith("before "), name
        assert masked.endswith(" after"), name
        assert not [part for part in parts_of(spelled) if part in masked], name


@given(st.integers(0, 30), st.integers(15, 40))
def test_a_part_of_fifteen_characters_is_masked(begin: int, length: int) -> None:
    secret = "q7Zk2Vx9Lm4Rt8Wn3Bc6Hs1Dj5Fp0GyT4uE8iO2aK6eS9dM1"
    known = LiveSecrets()
    known.learn(secret)
    part = secret[begin : begin + length]
    if len(part) >= 15:
        assert known.mask(f'{{"a":"{part}"}}'.encode()) == b'{"a":"***"}'


def test_a_secret_that_is_split_over_fields_is_masked_in_each() -> None:
    known = LiveSecrets()
    known.learn(CANARY)
    line = json.dumps({"first": CANARY[:18], "second": CANARY[18:]}).encode()
    assert json.loads(known.mask(line)) == {"first": "***", "second": "***"}


def test_a_short_secret_is_masked_as_a_whole_and_a_tiny_one_is_not_known() -> None:
    known = LiveSecrets()
    known.learn("swordfish")
    known.learn("id")
    known.learn("")
    assert known.mask(b"id swordfish swordfis") == b"id *** swordfis"


def test_a_password_with_blanks_and_quotes_is_masked_and_json_stays_json() -> None:
    known = LiveSecrets()
    known.learn('correct "horse"\\battery')
    line = json.dumps({"a": 'it is correct "horse"\\battery', "b": 1}).encode()
    assert json.loads(known.mask(line)) == {"a": "it is ***", "b": 1}


def test_text_without_a_secret_stays_as_it_is() -> None:
    learn_secret(CANARY)
    line = b'{"call_id":"call_01J9Z3N8Q4X7W2K5","path":"/rest/v1.0/companies/4242/projects"}'
    assert mask_live(line) is line
    text = "straße 1, call_01J9Z3N8Q4X7W2K5"
    assert mask_live_text(text) is text


def test_old_secrets_give_way_to_new_ones_and_leave_nothing() -> None:
    known = LiveSecrets(most=2)
    first, *others = ("first-secret-abcdefgh", "second-secret-ijklmnop", "third-secret-qrstuvwx")
    known.learn(first)
    known.learn(others[0])
    known.learn(first)  # in use again, so the second is the oldest
    known.learn(others[1])
    assert known.mask(others[0].encode()) == others[0].encode()
    assert known.mask(f"{first} {others[1]}".encode()) == b"*** ***"
    known.learn("fourth-secret-yzabcdef")
    known.learn("fifth-secret-ghijklmno")
    assert known.mask(first.encode()) == first.encode()


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("style", ["json", "console"])
def test_no_sink_writes_a_secret_that_the_process_knows(style: str, tmp_path: Path) -> None:
    learn_secret(CANARY, RAW)
    stream, file = io.StringIO(), tmp_path / "agent.log"
    configure(
        stream=stream, file=file, level="debug", style="json" if style == "json" else "console"
    )
    log = structlog.get_logger()
    for spelled in (*spellings(CANARY.encode()).values(), *spellings(RAW).values()):
        log.debug("noted", innocent=spelled, nested={"a": [spelled]})
        logging.getLogger("some.library").debug("saw %s", spelled)
    try:
        raise ValueError(f"odd: {CANARY[2:-2]}")  # noqa: TRY301 - for its traceback
    except ValueError:
        log.exception("failed")
    for said in (stream.getvalue(), file.read_text()):
        assert "failed" in said
        for secret in (CANARY.encode(), RAW):
            for name, spelled in spellings(secret).items():
                assert not [part for part in parts_of(spelled) if part in said], name
    assert all(json.loads(line) for line in file.read_text().splitlines())


def test_the_command_line_shows_no_secret_in_errors_and_tracebacks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    learn_secret(CANARY)

    @click.command()
    @click.option("--debug", is_flag=True)
    @click.option("--ours", is_flag=True)
    def command(*, debug: bool, ours: bool) -> None:
        assert debug
        if ours:
            raise CloudConnectError(f"It is {CANARY}.")
        raise RuntimeError(f"It is {CANARY} and client_secret=hunter22.")

    for arguments in (["--debug"], ["--debug", "--ours"]):
        with pytest.raises(SystemExit):
            run_and_exit(command, arguments, program="x", status_of=lambda _: ExitStatus.FAILED)
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "Error: It is ***" in said
    assert CANARY[4:24] not in said
    assert "hunter22" not in said


def test_masking_costs_a_line_of_the_log_little() -> None:
    known = LiveSecrets()
    for number in range(30):
        known.learn(f"{number:02}-" + base64.b64encode(bytes(range(number, number + 48))).decode())
    line = json.dumps(
        {
            "time": "2026-11-26T18:00:00.000Z",
            "event": "call_finished",
            "call_id": "call_01J9Z3N8Q4X7W2K5M6P0",
            "connector_id": "con_9f8e7d6c5b4a39281706",
            "path": "/rest/v1.0/companies/4242/projects",
        }
    ).encode()
    begun = time.process_time()
    for _ in range(2000):
        known.mask(line)
    # Generous: a slow machine must not fail it, a search that grows with each secret would.
    assert time.process_time() - begun < 0.5
