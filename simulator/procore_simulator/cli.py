"""The command line: flags to settings, the ready line, hints, and a clean end."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson
import structlog

from procore_simulator.resources import RESOURCES
from procore_simulator.server import ListenError, RunningSimulator, open_simulator
from procore_simulator.settings import ENVIRONMENTS, Behaviour, SimulatorSettings
from procore_simulator.world import MAX_SEEDED_ROWS

__all__ = ["main"]

_MAX_PORT = 65_535
_PORT = click.IntRange(0, _MAX_PORT)


def _rows(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> Any:
    rows: dict[str, int] = {}
    for item in given:
        name, _, count = item.partition("=")
        if name not in RESOURCES:
            known = ", ".join(sorted(RESOURCES))
            raise click.BadParameter(f"{name!r} is no resource; the resources are {known}.")
        if not count.isdecimal() or int(count) > MAX_SEEDED_ROWS:
            raise click.BadParameter(
                f"{item!r}: give a number of rows up to {MAX_SEEDED_ROWS}, as in rfis=10000."
            )
        rows[name] = int(count)
    return rows


def _moment(_context: click.Context, _option: click.Parameter, given: str | None) -> float | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as exc:
        raise click.BadParameter("give a moment like 2026-11-24T08:00:00Z.") from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cloud-connect", prog_name="procore-simulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=_PORT, default=9000, show_default=True, help="API port; 0 picks a free one."
)
@click.option(
    "--login-port", type=_PORT, default=9001, show_default=True, help="Login (OAuth) port."
)
@click.option("--admin-port", type=_PORT, default=9002, show_default=True, help="Admin port.")
@click.option(
    "--storage-port",
    type=_PORT,
    help="Port files are sent to and fetched from. Default: --port + 3.",
)
@click.option(
    "--environment",
    "environments",
    multiple=True,
    help="Environment to serve; the first gets the ports above. Default: all three.",
)
@click.option("--latency-ms", default=0.0, help="Time before every API answer.")
@click.option("--spike-limit", default=0, help="Requests in 10 seconds; 0 is unlimited.")
@click.option("--hourly-limit", default=0, help="Requests in an hour; 0 is unlimited.")
@click.option("--retry-after/--no-retry-after", default=True, help="Send Retry-After with 429.")
@click.option("--token-lifetime", default=5400.0, show_default=True, help="Seconds.")
@click.option("--auto-approve", is_flag=True, help="Approve sign-ins without a page.")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="Register a redirect URI.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same data.")
@click.option("--clock", callback=_moment, help="Start the simulator's clock at this moment.")
@click.option(
    "--rows",
    multiple=True,
    callback=_rows,
    metavar="RESOURCE=N",
    help="Rows of a resource in the demo project, e.g. rfis=10000.",
)
@click.option(
    "--storage-mb", default=4096, show_default=True, help="Uploaded files kept on disk, in MiB."
)
@click.option("--json", "as_json", is_flag=True, help="Print the ready line as JSON, only.")
def main(
    *,
    host: str,
    port: int,
    login_port: int,
    admin_port: int,
    storage_port: int | None,
    storage_mb: int,
    environments: tuple[str, ...],
    latency_ms: float,
    spike_limit: int,
    hourly_limit: int,
    retry_after: bool,
    token_lifetime: float,
    auto_approve: bool,
    redirect_uris: tuple[str, ...],
    seed: int,
    clock: float | None,
    rows: dict[str, int],
    as_json: bool,
) -> None:
    """Run a Procore on this machine: try Cloud Connect without a Procore account."""
    names = tuple(name.replace("-", "_") for name in environments) or ENVIRONMENTS
    unknown = [name for name in names if name not in ENVIRONMENTS]
    if unknown or len(set(names)) != len(names):
        known = ", ".join(name.replace("_", "-") for name in ENVIRONMENTS)
        raise click.UsageError(f"--environment takes each of {known} at most once.")
    settings = SimulatorSettings(
        host=host,
        port=port,
        login_port=login_port,
        admin_port=admin_port,
        storage_port=_beside(port) if storage_port is None else storage_port,
        max_stored_bytes=storage_mb * 1024**2,
        environments=names,
        seed=seed,
        rows=rows,
        started_at=clock,
        redirect_uris=redirect_uris,
        behaviour=Behaviour(
            latency_ms=latency_ms,
            spike_limit=spike_limit,
            hourly_limit=hourly_limit,
            retry_after=retry_after,
            token_lifetime=token_lifetime,
            auto_approve=auto_approve,
        ),
    )
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    _log_to_stderr()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, as_json=as_json))
    except ListenError as exc:
        click.echo(f"{exc} Stop the other program or choose another port.", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(0)


def _log_to_stderr() -> None:
    """Keep failures, told shortly, out of the pipe from which the ready line is read."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _beside(port: int) -> int:
    return port + 3 if 0 < port <= _MAX_PORT - 3 else 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not there on Windows
        return None
    return uvloop.new_event_loop


async def _serve(settings: SimulatorSettings, *, as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows has no signal handlers on its loop
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    async with open_simulator(settings) as running:
        if as_json:
            click.echo(orjson.dumps(running.describe()).decode())
        else:
            _introduce(running)
        sys.stdout.flush()
        await stop.wait()


def _introduce(running: RunningSimulator) -> None:
    world = running.simulation.primary
    flag = world.environment.replace("_", "-")
    app = world.grants.app
    company = world.demo_project.company
    program = Path(sys.argv[0]).name
    click.echo(
        f"ready api={running.api_url} login={running.login_url} admin={running.admin_url} "
        f"storage={running.storage_url}"
    )
    click.echo(
        f"""
A made-up Procore is running. Nothing here reaches the real one.

Tell an enrolled agent to use it (the secret is made up, too):

  echo {app.client_secret} | \\
    cloud-connect procore app --environment {flag} --client-id {app.client_id} \\
    --secret-stdin --api-url {running.api_url} --login-url {running.login_url}
  cloud-connect procore login --environment {flag} --grant client-credentials
  cloud-connect test --environment {flag} --company {company.id}

Companies:"""
    )
    for item in world.companies.values():
        state = "connected" if item.connected else "the app is not connected"
        if not item.visible:
            state = "out of these credentials' reach"
        click.echo(f"  {item.id:<16} {item.name} ({state})")
    click.echo(
        f"""
Project {world.demo_project.id} ({world.demo_project.name}) has the long lists.
What was executed: curl {running.admin_url}/ledger
Other environments, limits and faults: {program} --help, docs/simulator.md
Press Ctrl-C to stop."""
    )
