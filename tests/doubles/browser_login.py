"""``procore login`` as a process, and a browser that follows Procore's pages."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import httpx

from doubles.ended import Ended

__all__ = ["CALLBACK", "ENVIRONMENT", "PORT", "Login", "Logins", "approve"]

ENVIRONMENT = "developer-sandbox"
CODE = (
    *("procore", "login", "--environment", ENVIRONMENT),
    *("--grant", "authorization-code"),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PORT = free_port()
CALLBACK = f"http://localhost:{PORT}/callback"


def approve(url: str, *, button: str = "approve") -> httpx.Response:
    """Do what a browser does: load the page, press the button, follow the redirects."""
    with httpx.Client(trust_env=False, timeout=15, follow_redirects=True) as browser:
        page = browser.get(url)
        fields = dict(re.findall(r"name='(\w+)' value='([^']*)'", page.text))
        return browser.post(urljoin(url, "/oauth/authorize"), data={**fields, "commit": button})


class Login:
    """``procore login`` in a process of its own."""

    def __init__(self, home: Path, *arguments: str, browser: Path | None = None) -> None:
        command = [sys.executable, "-m", "cloud_connect_agent", "--home", str(home), *CODE]
        if browser is None:
            command.append("--no-browser")
        screen = {} if browser is None else {"DISPLAY": ":0", "BROWSER": f"{browser} %s"}
        self.process = subprocess.Popen(
            [*command, *arguments],
            env={**os.environ, **screen},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.told: list[str] = []

    def url(self) -> str:
        """Read what the person is told until the address comes."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told.append(line)
            if line.startswith("http"):
                return line.strip()
        raise AssertionError("".join(self.told))

    def end(self, typed: str = "") -> Ended:
        output, errors = self.process.communicate(typed, timeout=30)
        return Ended(status=self.process.returncode, output=output, errors=errors)


Logins = Callable[..., Login]
