"""The far end of an HTTP connection, as far as its requests care: whether it is still there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = ["EXTENSION", "Caller", "caller_of"]

EXTENSION: Final = "cloud_connect.caller"  # of the ASGI scope: our HTTP server offers it


class Caller:
    """Tells whoever asked when the connection is lost.

    The server's channel tells the same to a task that waits for it. A task for each request
    costs more than the rest of a small one.

    Args:
        abort: Loses the connection.

    Attributes:
        gone: Whether the connection is lost.
    """

    __slots__ = ("_abort", "_listeners", "gone")

    def __init__(self, abort: Callable[[], None] = lambda: None) -> None:
        self.gone = False
        self._abort: Final = abort
        self._listeners: Final[set[Callable[[], None]]] = set()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call *listener* once when the caller hangs up; at once, if that has happened."""
        if self.gone:
            listener()
        else:
            self._listeners.add(listener)

    def ignore(self, listener: Callable[[], None]) -> None:
        """Call *listener* no more."""
        self._listeners.discard(listener)

    def cut(self) -> None:
        """Break the connection off: the caller may not be served any more."""
        self._abort()

    def hang_up(self) -> None:
        """Note that the connection is lost."""
        self.gone = True
        listeners = tuple(self._listeners)
        self._listeners.clear()
        for listener in listeners:
            listener()


def caller_of(scope: "Scope") -> Caller | None:
    """Return the caller of a request, if the server tells of it."""
    extensions = scope.get("extensions")
    if extensions is None or EXTENSION not in extensions:
        return None
    caller: Caller = extensions[EXTENSION]["caller"]
    return caller
