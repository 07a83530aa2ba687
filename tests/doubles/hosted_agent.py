"""Runs the agent as a Windows service runs it, with a pipe in the place of Windows.

``python hosted_agent.py HOME``: standard input has a control number a line, and standard output a
JSON array a line, which is what Windows would be told; at the end the outcome.
"""

import json
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from cloud_connect_agent.hosting.windows_host import Report, ServiceHost
from cloud_connect_agent.hosting.windows_service import run_hosted


def say(report: Report) -> None:
    """Tell what Windows would be told."""
    sys.stdout.write(f"{json.dumps(report.as_windows_takes_it())}\n")
    sys.stdout.flush()


def main() -> None:
    """Be the service."""
    host = ServiceHost(say, tick=0.1, stop_seconds=40.0)

    def listen() -> None:
        for line in sys.stdin:
            host.told(int(line))

    threading.Thread(target=listen, daemon=True).start()
    outcome = host.serve(lambda: run_hosted(host, Path(sys.argv[1])))
    host.stopped(outcome)
    sys.stdout.write(f"{json.dumps(asdict(outcome))}\n")


if __name__ == "__main__":
    main()
