"""Named pipes over real sockets: names are claimed once, clients queue, waits are bounded."""

import contextlib
import queue
import socket
from collections.abc import Iterator

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.hosting.windows_pipe import PipeSpec

OWN = "S-1-5-21-1-2-3-1001"


class Stream:
    """One talk."""

    def __init__(self, connection: socket.socket, owner: str = OWN) -> None:
        self.connection = connection
        self._owner = owner

    def owner(self) -> str:
        return self._owner

    def read(self, most: int, *, seconds: float) -> bytes:
        self.connection.settimeout(max(seconds, 0.001))
        try:
            return self.connection.recv(most)
        except ConnectionError:
            return b""

    def write(self, data: bytes, *, seconds: float) -> None:
        self.connection.settimeout(max(seconds, 0.001))
        self.connection.sendall(data)

    def close(self) -> None:
        self.connection.close()


class End:
    """An instance of the agent's."""

    def __init__(self, waiting: "queue.SimpleQueue[socket.socket | None]") -> None:
        self._waiting = waiting
        self._talk: Stream | None = None
        self._interrupted = False
        self.closed = False

    def accept(self) -> bool:
        if self._interrupted:
            return False
        came = self._waiting.get(timeout=20)
        if came is None:
            self._waiting.put(None)  # for the other instances
            return False
        self._talk = Stream(came)
        return True

    def read(self, most: int, *, seconds: float) -> bytes:
        assert self._talk is not None
        return self._talk.read(most, seconds=seconds)

    def write(self, data: bytes, *, seconds: float) -> None:
        assert self._talk is not None
        self._talk.write(data, seconds=seconds)

    def hang_up(self) -> None:
        assert self._talk is not None
        self._talk.close()

    def interrupt(self) -> None:
        self._interrupted = True
        self._waiting.put(None)
        if self._talk is not None:
            with contextlib.suppress(OSError):
                self._talk.connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.closed = True


class Pipes:
    """The pipes of one PC."""

    def __init__(self, *, account: str = OWN, owner: str = OWN) -> None:
        self.specs: list[PipeSpec] = []
        self.ends: list[End] = []
        self._account = account
        self._owner = owner
        self._names: dict[str, queue.SimpleQueue[socket.socket | None]] = {}
        self._squatter: Stream | None = None

    def own_account(self) -> str:
        return self._account

    def make(self, spec: PipeSpec) -> End:
        if spec.open_mode & 0x80000 and spec.name in self._names:
            raise ConfigurationError(f"Another program has the agent's pipe {spec.name}.")
        self.specs.append(spec)
        end = End(self._names.setdefault(spec.name, queue.SimpleQueue()))
        self.ends.append(end)
        return end

    def open(self, name: str, *, seconds: float) -> Stream:
        if self._squatter is not None:
            return self._squatter
        if self._account != self._owner:
            raise PermissionError(name)
        if name not in self._names:
            raise FileNotFoundError(name)
        mine, theirs = socket.socketpair()
        mine.settimeout(seconds)
        self._names[name].put(theirs)
        return Stream(mine, self._owner)

    @contextlib.contextmanager
    def squatted(self, owner: str) -> Iterator[socket.socket]:
        """Have another account's program answer; yield its end of the first talk."""
        mine, theirs = socket.socketpair()
        self._squatter = Stream(mine, owner)
        with mine, theirs:
            yield theirs
