"""Memory and CPU of the processes that are measured."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

MIB = 1024 * 1024


class Watched:
    """Relay and agent, seen from outside."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pids[name]) for name in ("relay", "agent")}

    def cpu_seconds(self) -> float:
        return sum(
            times.user + times.system
            for times in (process.cpu_times() for process in self._processes.values())
        )

    def rss_mib(self, name: str) -> float:
        return float(self._processes[name].memory_info().rss) / MIB

    @contextmanager
    def growth(self) -> Iterator[dict[str, float]]:
        """Peak growth in MiB of each process while the block runs."""
        before = {name: self.rss_mib(name) for name in self._processes}
        grown = dict.fromkeys(self._processes, 0.0)
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.02):
                for name in self._processes:
                    grown[name] = max(grown[name], self.rss_mib(name) - before[name])

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield grown
        finally:
            stop.set()
            thread.join()
