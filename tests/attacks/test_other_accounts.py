"""What another account on the PC can do to the agent: nothing."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.paths import AgentPaths
from doubles.program import command
from doubles.world import World, open_world

NOBODY = 65534
ENROLLED = """
[relay]
url = "http://127.0.0.1:9"
tunnel_url = "ws://127.0.0.1:9/tunnel"
connector_id = "con_1"
"""

# Run by root, which becomes the other account before it does anything. It says what worked.
ATTACK = """
import ctypes, json, os, signal, socket, sys
home, pid = sys.argv[1], int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
os.setgroups([]); os.setgid(65534); os.setuid(65534)

def read(*names):
    for name in names:
        with open(os.path.join(home, name), "rb") as file:
            file.read(1)

def each(action, *names):
    worked = []
    for name in names:
        try:
            action(os.path.join(home, name))
            worked.append(name)
        except OSError:
            pass
    return worked

def reading(path):
    open(path, "rb").read(1)

def writing(path):
    open(path, "ab").write(b"# mine")

def connect(path):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        peer.connect(path)
        peer.sendall(b'{"command": "status"}\\n')
        if not peer.recv(1):
            raise ConnectionError

def tried(action):
    try:
        action()
        return ["worked"]
    except OSError:
        return []

def trace():
    if libc.ptrace(0x4206, pid, None, None):  # PTRACE_SEIZE
        raise OSError(ctypes.get_errno())

state = ["state/" + name for name in json.loads(sys.argv[3])]
print(json.dumps({
    "read": each(reading, *state),
    "write": each(writing, "agent.toml", "policy.toml", *state),
    "add": each(lambda path: open(path, "x"), "new.toml", "state/new", "logs/new"),
    "connect": each(connect, "state/control.sock"),
    "signal": tried(lambda: os.kill(pid, signal.SIGTERM)),
    "ptrace": tried(trace),
    "memory": tried(lambda: open(f"/proc/{pid}/mem", "rb").read(1)),
    "environment": tried(lambda: open(f"/proc/{pid}/environ", "rb").read(1)),
}))
"""


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every account can walk into, unlike pytest's own."""
    place = Path(tempfile.mkdtemp(prefix="cloud-connect-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture
async def world(open_place: Path) -> AsyncIterator[World]:
    async with open_world(open_place, tunnel_proxies=False) as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.catalogue("T125")
async def test_another_account_reads_writes_asks_and_traces_nothing(world: World) -> None:
    agent = world.agent
    state = agent.home / "state"
    names = sorted(str(one.relative_to(state)) for one in state.rglob("*") if one.is_file())
    assert {"vault.key", "journal.sqlite3"} <= set(names)

    def attack() -> dict[str, list[str]]:
        ran = subprocess.run(
            [sys.executable, "-c", ATTACK, agent.home, str(agent.program.pid), json.dumps(names)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        found: dict[str, list[str]] = json.loads(ran.stdout)
        return found

    assert {name: done for name, done in attack().items() if done} == {}
    # The folders' modes are one wall; the files' own are another.
    for folder in (agent.home, state, *(one for one in state.rglob("*") if one.is_dir())):
        folder.chmod(0o755)
    assert {name: done for name, done in attack().items() if done} == {}
    assert agent.program.alive


# Run by root, which becomes the service's account: what it can do in a folder that is root's.
SERVICE = """
import json, os, sys
from pathlib import Path
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.policy_file import PolicyFile
paths = AgentPaths.of(Path(sys.argv[1]))
os.setgroups([]); os.setgid(65534); os.setuid(65534)

def tried(action):
    try:
        action()
        return True
    except OSError:
        return False

def replace():
    mine = paths.config_dir / "mine"
    mine.write_text("")
    try:
        mine.replace(paths.policy_file)
    finally:
        mine.unlink(missing_ok=True)

change_settings(paths, {("name",): "changed"})
print(json.dumps({
    "name": paths.config_file.read_text(),
    "problem": PolicyFile(paths.policy_file, administered=True).summary()["problem"],
    "write": tried(lambda: paths.policy_file.write_text("")),
    "remove": tried(paths.policy_file.unlink),
    "replace": tried(replace),
}))
"""


@pytest.mark.parametrize("mode", [0o1770, 0o770])
def test_service_changes_its_settings_but_not_the_policy_beside_them(
    open_place: Path, mode: int
) -> None:
    home = open_place / "home"
    for folder in (home, home / "state", home / "logs"):
        folder.mkdir()
        os.chown(folder, NOBODY, NOBODY)
    (home / "policy.toml").write_text('[[rules]]\nid = "a"\neffect = "deny"\n')
    os.chown(home / "policy.toml", 0, NOBODY)
    (home / "policy.toml").chmod(0o640)
    os.chown(home, 0, NOBODY)
    home.chmod(mode)
    ran = subprocess.run(
        [sys.executable, "-c", SERVICE, home],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    told = json.loads(ran.stdout.splitlines()[-1])
    assert 'name = "changed"' in told["name"]
    if mode == 0o1770:  # as the documentation says
        assert told["problem"] is None
        assert not told["write"] | told["remove"] | told["replace"]
    else:
        assert "another file in its place" in told["problem"]
        assert told["replace"]


def made_before(home: Path) -> None:
    (home / "state").mkdir(parents=True)
    os.chown(home / "state", NOBODY, NOBODY)


def home_of_another(home: Path) -> None:
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)


def open_to_all(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)


def linked_folder(home: Path) -> None:
    home.mkdir()
    (home / "state").symlink_to(target_of(home), target_is_directory=True)


def linked_home(home: Path) -> None:
    home.symlink_to(target_of(home), target_is_directory=True)
    os.chown(home, NOBODY, NOBODY, follow_symlinks=False)


def linked_file(home: Path) -> None:
    (home / "state").mkdir(parents=True)
    (home / "state" / "journal.sqlite3").symlink_to(target_of(home) / "file")


def linked_settings(home: Path) -> None:
    home.mkdir()
    (home / "agent.toml").symlink_to(target_of(home) / "file")
    os.chown(home / "agent.toml", NOBODY, NOBODY, follow_symlinks=False)


def hard_link(home: Path) -> None:
    (home / "state").mkdir(parents=True)
    (home / "state" / "run.lock").hardlink_to(target_of(home) / "file")


def file_of_another(home: Path) -> None:
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "agent.log").write_text("mine")
    os.chown(home / "logs" / "agent.log", NOBODY, NOBODY)


def target_of(home: Path) -> Path:
    return home.parent / "target"


PREPARED = [
    made_before,
    home_of_another,
    open_to_all,
    linked_folder,
    linked_home,
    linked_file,
    linked_settings,
    hard_link,
    file_of_another,
]


@pytest.mark.catalogue("T126")
@pytest.mark.parametrize("prepare", PREPARED)
def test_folders_that_another_account_prepared_are_not_touched(
    tmp_path: Path, prepare: Callable[[Path], None]
) -> None:
    home = tmp_path / "home"
    target_of(home).mkdir()
    (target_of(home) / "file").write_text("of somebody")
    prepare(home)
    before = snapshot(tmp_path)
    with pytest.raises(ConfigurationError, match="so the agent does not touch it"):
        AgentPaths.of(home).create()
    assert snapshot(tmp_path) == before


@pytest.mark.catalogue("T126")
@pytest.mark.parametrize("words", [("run",), ("enrol", "--relay", "http://127.0.0.1:9")])
def test_agent_does_not_start_on_folders_that_another_account_prepared(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    home = tmp_path / "home"
    target_of(home).mkdir()
    linked_folder(home)
    if words == ("run",):
        (home / "agent.toml").write_text(ENROLLED)
    before = snapshot(tmp_path)
    ran = subprocess.run(
        command("cloud_connect_agent", ("--home", str(home), *words)),
        input="ccj1.token",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ran.returncode == 78, ran.stderr
    assert "so the agent does not touch it" in ran.stderr
    assert snapshot(tmp_path) == before


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every name below a folder, with its mode and content."""
    return {
        str(one.relative_to(folder)): (
            one.lstat().st_mode,
            one.read_bytes() if one.is_file() else b"",
        )
        for one in sorted(folder.rglob("*"))
    }
