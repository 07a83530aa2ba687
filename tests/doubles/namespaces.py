"""A network of its own for one test: real packets, lost, reset or slowed by the kernel.

The calling thread moves into a fresh network namespace, and with it every process and socket
that it makes meanwhile, so that a whole world of processes runs on a loopback that nobody else
shares. The kernel removes the namespace with the last process in it: there is nothing to clean.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

__all__ = ["PrivateNetwork", "private_network", "with_resolver"]

Way = Literal["to", "from", "both"]
CLONE_NEWNET: Final = 0x40000000
BURST_BYTES: Final = 16 * 1024
QUEUE_PACKETS: Final = 100  # what a slowed port may have waiting; more is dropped, as by a router


class PrivateNetwork:
    """The rules of a private network; each names the port that a server listens on."""

    def __init__(self) -> None:
        self._faults: list[str] = []
        self._slow: dict[int, int] = {}

    def drop(self, port: int, *, way: Way = "both") -> None:
        """Lose every packet to or from the port: nobody is told."""
        self._add(port, way, "drop")

    def lose(self, port: int, *, percent: int, way: Way = "both") -> None:
        """Lose so many of a hundred packets."""
        self._add(port, way, f"numgen random mod 100 < {percent} drop")

    def reset(self, port: int, *, way: Way = "to") -> None:
        """Answer every packet with a reset, so that connections break at their next byte."""
        self._add(port, way, "reject with tcp reset")

    def slow(self, port: int, *, bits_per_second: int) -> None:
        """Let so many bits a second through, each way."""
        self._slow[port] = bits_per_second
        self._shape()
        self._apply()

    def heal(self) -> None:
        """Take every rule back."""
        self._faults.clear()
        self._slow.clear()
        _run("tc", "qdisc", "del", "dev", "lo", "root", check=False)
        self._apply()

    def _add(self, port: int, way: Way, verdict: str) -> None:
        # On arrival, not on departure: a sender must not learn that its packet is lost.
        if way in {"to", "both"}:
            self._faults.append(f"tcp dport {port} {verdict}")
        if way in {"from", "both"}:
            self._faults.append(f"tcp sport {port} {verdict}")
        self._apply()

    def _apply(self) -> None:
        lanes = [
            f"tcp {side} {port} meta priority set 1:{number + 10}{lane}"
            for number, port in enumerate(self._slow)
            for side, lane in (("dport", 0), ("sport", 1))
        ]
        table = (
            "table inet faults\ndelete table inet faults\ntable inet faults {\n"
            "chain input { type filter hook input priority 0;\n"
            + "\n".join(self._faults)
            + "\n}\nchain output { type filter hook output priority 0;\n"
            + "\n".join(lanes)
            + "\n}\n}\n"
        )
        _run("nft", "-f", "-", stdin=table)

    def _shape(self) -> None:
        _run("tc", "qdisc", "del", "dev", "lo", "root", check=False)
        lo = ("dev", "lo")
        _run("tc", "qdisc", "add", *lo, "root", "handle", "1:", "htb", "default", "1")
        kind = ("htb", "quantum", "1500", "rate")
        _run("tc", "class", "add", *lo, "parent", "1:", "classid", "1:1", *kind, "10gbit")
        for number, rate in enumerate(self._slow.values()):
            for lane in (0, 1):
                name = f"{number + 10}{lane}"
                one = ("parent", "1:", "classid", f"1:{name}")
                limit = (f"{rate}bit", "burst", str(BURST_BYTES))
                _run("tc", "class", "add", *lo, *one, *kind, *limit)
                queue = ("pfifo", "limit", str(QUEUE_PACKETS))
                _run("tc", "qdisc", "add", *lo, "parent", f"1:{name}", *queue)


@contextmanager
def private_network() -> Iterator[PrivateNetwork]:
    """Move the calling thread into a network of its own until the block ends.

    Raises:
        OSError: If the account may not make one; it takes root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(libc.unshare(CLONE_NEWNET))
        try:
            _run("ip", "link", "set", "lo", "up")
            # Loopback's own 64 KiB packets would make "one in a hundred" a matter of luck.
            _run("ip", "link", "set", "lo", "mtu", "1500", "gso_max_segs", "1")
            yield PrivateNetwork()
        finally:
            _checked(libc.setns(home, CLONE_NEWNET))
    finally:
        os.close(home)


def with_resolver(configuration: Path) -> tuple[str, ...]:
    """Return the words before a command that let it see *configuration* as its resolv.conf."""
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    unshare = ("unshare", "--mount", "--propagation", "private")
    return (*unshare, "sh", "-c", script, str(configuration))


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _run(*words: str, stdin: str | None = None, check: bool = True) -> None:
    done = subprocess.run(
        words, input=stdin, capture_output=True, text=True, timeout=10, check=False
    )
    if check and done.returncode:
        raise OSError(done.returncode, f"{' '.join(words)}: {done.stderr.strip()} ({stdin})")
