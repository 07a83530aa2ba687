"""What we are made of is known and pinned, and nobody changes it from afar."""

import ast
import json
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import cloud_connect
import cloud_connect_agent
from cloud_connect.calls import Operation

ROOT = Path(__file__).parent.parent.parent
PACKAGES = {
    "cloud_connect": Path(cloud_connect.__path__[0]),
    "cloud_connect_agent": Path(cloud_connect_agent.__path__[0]),
}

# What starts programs or runs code that came as data.
DANGEROUS = {
    *("subprocess", "ctypes", "runpy", "pickle", "marshal", "shelve", "zipimport", "pip", "code"),
    *("ensurepip", "multiprocessing", "codeop", "imp", "pty"),
}
DANGEROUS_CALLS = {
    *("eval", "exec", "compile", "__import__", "import_module", "system", "popen", "startfile"),
    *("execv", "execve", "execvp", "execl", "execlp", "spawnv", "spawnl", "posix_spawn"),
    *("create_subprocess_exec", "create_subprocess_shell", "spec_from_file_location"),
}
# What the daemon may have of it, since nothing of a call gets there.
ALLOWED = {
    ("cloud_connect_agent.vault.dpapi", "ctypes"): "Windows' own encryption",
    ("cloud_connect_agent.vault.dpapi", "subprocess"): "icacls, with fixed words",
    ("cloud_connect_agent.windows_proxies", "ctypes"): "Windows' own proxy, by fixed names",
    ("cloud_connect_agent.vault.keychain", "subprocess"): "the desktop's keychain",
    ("cloud_connect.memory", "ctypes"): "the C library that is loaded already, two fixed names",
    ("cloud_connect.command_line", "import_module"): "commands by their own names",
}
# All that a relay can ask of an agent, and what an agent tells it. None changes programs.
OPERATIONS = {
    *("test", "tree", "drift", "query", "query.dry_run", "passthrough", "sealed"),
    *("records.list", "records.get", "records.create", "records.update", "records.delete"),
    *("records.attachments", "records.attach", "records.dry_run"),
    *("files.content", "files.upload", "authorize", "redeem", "journal"),
    *("report", "results", "audit", "echo"),
}


def source_of(module: str) -> Path | None:
    """Where a module of ours is, if it is one."""
    package, _, rest = module.partition(".")
    if package not in PACKAGES:
        return None
    path = PACKAGES[package].joinpath(*rest.split(".")) if rest else PACKAGES[package]
    if path.is_dir():
        return path / "__init__.py"
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else None


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def daemon() -> dict[str, ast.Module]:
    """Every module of ours that the running agent can load."""
    found: dict[str, ast.Module] = {}
    waiting = ["cloud_connect_agent.app"]
    while waiting:
        module = waiting.pop()
        path = source_of(module)
        if path is None or module in found:
            continue
        found[module] = ast.parse(path.read_text())
        waiting += imports(found[module])
    return found


def dangers(tree: ast.Module) -> Iterator[str]:
    yield from (name.partition(".")[0] for name in imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                yield function.id
            elif (
                isinstance(function, ast.Attribute)
                and isinstance(function.value, ast.Name)
                and function.value.id in {"os", "asyncio", "importlib", "util", "builtins"}
            ):
                yield function.attr


def test_nothing_that_the_daemon_loads_can_start_a_program_or_load_code() -> None:
    modules = daemon()
    assert len(modules) > 60
    assert "cloud_connect_agent.dispatch" in modules
    found = {
        (module, danger)
        for module, tree in modules.items()
        for danger in dangers(tree)
        if danger in DANGEROUS | DANGEROUS_CALLS
    }
    assert found <= set(ALLOWED), found - set(ALLOWED)


def test_relay_has_no_operation_that_changes_the_agents_program() -> None:
    assert {operation.value for operation in Operation} == OPERATIONS


def audit(*arguments: str, server: str) -> tuple[int, str]:
    """Run the gate of continuous integration against an advisory server."""
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "audit.py"), *arguments],
        env={**os.environ, "CLOUD_CONNECT_OSV_URL": server},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@contextmanager
def advisories(vulnerable: dict[str, str | None]) -> Iterator[str]:
    """Serve OSV's API: each package of *vulnerable* has a flaw, fixed in the version given."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            name = asked["package"]["name"]
            told: dict[str, Any] = {}
            if name in vulnerable:
                fixed = vulnerable[name]
                events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
                affected = {
                    "package": {"name": name, "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": events}],
                }
                flaw = {"id": "PYSEC-0000-1", "summary": "a flaw", "affected": [affected]}
                told = {"vulns": [{**flaw, "modified": "2026-01-01T00:00:00Z"}]}
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.catalogue("T100")
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_known_vulnerability_that_a_newer_version_fixes_stops_a_change() -> None:
    with advisories({}) as server:
        status, told = audit("--strict", server=server)
        assert status == 0, told
        assert "NOT AUDITED" not in told
    with advisories({"httpx": "99.0", "click": None}) as server:
        status, told = audit(server=server)
        assert status == 1
        assert "VULNERABLE httpx" in told
        assert "fixed in 99.0" in told
        assert "vulnerable click" in told


def test_advisory_service_that_does_not_answer_is_told_and_stops_a_release_only() -> None:
    nowhere = "http://127.0.0.1:9/v1/query"
    status, told = audit("--strict", server=nowhere)
    assert status == 1
    assert "NOT AUDITED: the advisory service does not answer" in told


def test_only_what_a_newer_version_fixes_stops_a_change_and_what_is_unknown_a_release(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gate = runpy.run_path(str(ROOT / ".ci" / "audit.py"))["verdict"]
    unfixed = {"id": "PYSEC-1", "fix_versions": []}
    fixed = {"id": "PYSEC-2", "fix_versions": ["2"]}
    sound = {"name": "sound", "version": "1", "vulns": []}
    flawed = {"name": "flawed", "version": "1", "vulns": [unfixed]}
    dangerous = {"name": "dangerous", "version": "1", "vulns": [unfixed, fixed]}
    unknown = {"name": "unknown", "skip_reason": "not found"}
    for packages, change, release in (
        ([sound], 0, 0),
        ([sound, flawed], 0, 0),
        ([sound, dangerous], 1, 1),
        ([sound, unknown], 0, 1),
        (None, 0, 1),
    ):
        assert (gate(packages, strict=False), gate(packages, strict=True)) == (change, release)
    said = capsys.readouterr().out
    assert "VULNERABLE dangerous 1: PYSEC-2, fixed in 2" in said
    assert "does not tell: unknown." in said
