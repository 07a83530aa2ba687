"""Named pipes: the calls to Windows, each of them bounded in time. Called on Windows only."""

from typing import TYPE_CHECKING, Final

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.hosting import windows_security
from cloud_connect_agent.hosting.windows_access import PIPE_CLIENT
from cloud_connect_agent.hosting.windows_pipe import PipeSpec

if TYPE_CHECKING:
    import _win32typing

__all__ = ["WindowsPipes"]

_BUSY: Final = 231  # ERROR_PIPE_BUSY: all instances talk
_CONNECTED: Final = 535  # ERROR_PIPE_CONNECTED: the client was faster
_GONE: Final = frozenset({109, 232, 233})  # broken, closing, nobody at the other end
_DENIED: Final = 5  # ERROR_ACCESS_DENIED
_MISSING: Final = 2  # ERROR_FILE_NOT_FOUND
_OPEN_EXISTING: Final = 3
# With SECURITY_ANONYMOUS: whoever made the pipe neither learns whose account it is nor acts as it.
_ANONYMOUS: Final = 0x40000000 | 0x00100000  # FILE_FLAG_OVERLAPPED, SECURITY_SQOS_PRESENT


class _Handle:
    """An open pipe whose reads and writes end in time, or when *stop* is set."""

    def __init__(self, handle: "_win32typing.PyHANDLE | int", stop: int | None = None) -> None:
        import win32event

        self._handle: Final = handle
        self._stop: Final = stop
        self._event: Final = win32event.CreateEvent(None, True, False, None)

    def read(self, most: int, *, seconds: float) -> bytes:
        """Return up to *most* bytes; none if the other end is gone."""
        import pywintypes
        import win32file

        overlapped = self._fresh()
        buffer = win32file.AllocateReadBuffer(most)
        try:
            win32file.ReadFile(self._number, buffer, overlapped)
            return bytes(buffer[: self._result(overlapped, seconds)])
        except pywintypes.error as exc:
            if exc.winerror in _GONE:
                return b""
            raise OSError(exc.winerror, exc.strerror) from exc

    def write(self, data: bytes, *, seconds: float) -> None:
        """Write all of *data*."""
        import pywintypes
        import win32file

        overlapped = self._fresh()
        try:
            win32file.WriteFile(self._number, data, overlapped)
            self._result(overlapped, seconds)
        except pywintypes.error as exc:
            raise OSError(exc.winerror, exc.strerror) from exc

    def close(self) -> None:
        """Give the handles back."""
        import win32api

        for handle in (self._handle, self._event):
            win32api.CloseHandle(handle)  # type: ignore[arg-type] # the stub knows ints only

    @property
    def _number(self) -> int:
        return int(self._handle)

    def _fresh(self) -> "_win32typing.PyOVERLAPPED":
        import pywintypes
        import win32event

        win32event.ResetEvent(self._event)
        overlapped = pywintypes.OVERLAPPED()
        overlapped.hEvent = self._event
        return overlapped

    def _result(self, overlapped: "_win32typing.PyOVERLAPPED", seconds: float | None) -> int:
        """Wait for the operation; Windows holds its buffer until it has ended, one way or other."""
        import pywintypes
        import win32event
        import win32file

        waited = [self._event] if self._stop is None else [self._event, self._stop]
        limit = win32event.INFINITE if seconds is None else round(seconds * 1000)
        found = win32event.WaitForMultipleObjects(waited, False, limit)
        if found != win32event.WAIT_OBJECT_0:
            win32file.CancelIo(self._number)
            try:
                return win32file.GetOverlappedResult(self._number, overlapped, True)
            except pywintypes.error as exc:
                raise TimeoutError from exc
        return win32file.GetOverlappedResult(self._number, overlapped, True)


class _End(_Handle):
    """An instance of the agent's."""

    def __init__(self, handle: "_win32typing.PyHANDLE | int") -> None:
        import win32event

        self._interrupt: Final = win32event.CreateEvent(None, True, False, None)
        super().__init__(handle, self._interrupt)

    def accept(self) -> bool:
        """Wait for a client; return ``False`` once interrupted."""
        import pywintypes
        import win32event
        import win32pipe

        while win32event.WaitForSingleObject(self._interrupt, 0) != win32event.WAIT_OBJECT_0:
            overlapped = self._fresh()
            try:
                if win32pipe.ConnectNamedPipe(self._number, overlapped) == _CONNECTED:
                    return True
                self._result(overlapped, None)
            except TimeoutError:
                return False
            except pywintypes.error:
                self.hang_up()  # it came and went
                continue
            return True
        return False

    def hang_up(self) -> None:
        """End the talk with this client."""
        import contextlib

        import pywintypes
        import win32pipe

        with contextlib.suppress(pywintypes.error):  # nobody was there
            win32pipe.DisconnectNamedPipe(self._number)

    def interrupt(self) -> None:
        """End what blocks and take no more clients."""
        import win32event

        win32event.SetEvent(self._interrupt)

    def close(self) -> None:
        """Give the handles back."""
        import win32api

        super().close()
        win32api.CloseHandle(self._interrupt)


class _Connection(_Handle):
    """A command's side."""

    def owner(self) -> str:
        """Return the SID of the account that made the pipe."""
        with windows_security.windows_errors("say whose the agent's pipe is"):
            return windows_security.owner_of_handle(self._number)


class WindowsPipes:
    """Makes and opens pipes on this PC."""

    def own_account(self) -> str:
        """Return the SID of the account that this process runs as."""
        return windows_security.own_account()

    def make(self, spec: PipeSpec) -> _End:
        """Make an instance."""
        import pywintypes
        import win32pipe

        try:
            handle = win32pipe.CreateNamedPipe(
                spec.name,
                spec.open_mode,
                spec.pipe_mode,
                spec.instances,
                spec.buffer_bytes,
                spec.buffer_bytes,
                0,
                windows_security.attributes_of(spec.access),
            )
        except pywintypes.error as exc:
            if exc.winerror == _DENIED:
                raise ConfigurationError(
                    f"Another program has the agent's pipe {spec.name}, so that its commands would "
                    "talk to that one. Find out which, and end it."
                ) from exc
            raise ConfigurationError(
                f"The control pipe cannot be made: {exc.strerror} (error {exc.winerror})."
            ) from exc
        return _End(handle)

    def open(self, name: str, *, seconds: float) -> _Connection:
        """Open a pipe, as an account that the other end cannot act as."""
        import time

        import pywintypes
        import win32file
        import win32pipe

        deadline = time.monotonic() + seconds
        while True:
            try:
                return _Connection(
                    win32file.CreateFile(
                        name, PIPE_CLIENT, 0, None, _OPEN_EXISTING, _ANONYMOUS, None
                    )
                )
            except pywintypes.error as exc:
                if exc.winerror == _DENIED:
                    raise PermissionError(exc.strerror) from exc
                if exc.winerror != _BUSY:
                    raise OSError(exc.winerror, exc.strerror) from exc
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                win32pipe.WaitNamedPipe(name, max(1, round(left * 1000)))
            except pywintypes.error as exc:
                if exc.winerror == _MISSING:
                    raise FileNotFoundError(name) from exc
                raise TimeoutError from exc
