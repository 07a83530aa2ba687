"""How the command line talks to a running agent: a Unix socket of the account, one line each.

The request is one JSON object on one line, ``{"command": …}``, and so is the answer. Nothing
listens on the network. On Windows a named pipe stands for the socket (``hosting.windows_pipe``).
"""

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from cloud_connect.errors import CloudConnectError

__all__ = ["AgentNotAnsweringError", "AgentNotRunningError", "Answer", "ask", "reachable_name"]

Answer: TypeAlias = dict[str, Any]

_MAX_ANSWER_BYTES: Final = 256 * 1024
_MAX_PATH_BYTES: Final = 107  # of sockaddr_un; the kernel refuses longer ones


class AgentNotRunningError(CloudConnectError):
    """No agent answers on these folders."""


class AgentNotAnsweringError(AgentNotRunningError):
    """An agent is or may be there, but says nothing: in time, or to this account."""


def ask(path: Path, request: Mapping[str, Any], *, timeout: float = 10.0) -> Answer:
    """Ask the running agent; blocking, for the command line.

    Raises:
        AgentNotRunningError: If none answers.
        CloudConnectError: If it refuses; the message is the agent's.
    """
    try:
        answer = json.loads(_exchange(path, json.dumps(request).encode() + b"\n", timeout=timeout))
    except TimeoutError as exc:
        raise AgentNotAnsweringError(
            f"The agent on this PC has not answered for {timeout:.0f} s; restart it if that lasts."
        ) from exc
    except PermissionError as exc:
        raise AgentNotAnsweringError(
            "This account may not ask the agent on this PC; run the command as the account that "
            "runs it, or as an administrator."
        ) from exc
    except (OSError, ValueError) as exc:
        raise AgentNotRunningError(
            "No agent answers on this PC; start it with `cloud-connect run`."
        ) from exc
    if not isinstance(answer, dict):
        raise AgentNotRunningError("The agent's answer cannot be read.")
    if answer.get("ok") is not True:
        raise CloudConnectError(str(answer.get("error", "The agent refused.")))
    return answer


if sys.platform == "win32":

    def _exchange(path: Path, line: bytes, *, timeout: float) -> bytes:
        from cloud_connect_agent.hosting.windows_pipe import exchange
        from cloud_connect_agent.hosting.windows_pipe_api import WindowsPipes

        return exchange(path, line, timeout=timeout, client=WindowsPipes())

else:

    def _exchange(path: Path, line: bytes, *, timeout: float) -> bytes:
        with reachable_name(path) as short, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(short)
            connection.sendall(line)
            received = bytearray()
            while not received.endswith(b"\n") and len(received) <= _MAX_ANSWER_BYTES:
                chunk = connection.recv(64 * 1024)
                if not chunk:
                    break
                received += chunk
        return bytes(received)


@contextmanager
def reachable_name(path: Path) -> Iterator[str]:
    """Yield a name for *path* that is short enough for a socket's address."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield str(path)
        return
    # Linux only, as the next line is; elsewhere the socket says that its name is too long.
    descriptor = os.open(path.parent, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
