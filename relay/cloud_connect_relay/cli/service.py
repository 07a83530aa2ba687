"""``cloud-connect-relay service``: the relay as a service of systemd."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cloud_connect.command_line import CommandsByName
from cloud_connect.errors import ConfigurationError
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options

if TYPE_CHECKING:
    from cloud_connect.services import ServiceBackend

__all__ = ["install", "restart", "service", "start", "status", "stop", "uninstall", "verify"]

_HERE: Final = "cloud_connect_relay.cli.service"
_COMMANDS: Final = ("install", "uninstall", "start", "stop", "restart", "status", "verify")
_PORT: Final = click.IntRange(1, 65_535)
_FILE: Final = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)


@click.group(cls=CommandsByName, modules=dict.fromkeys(_COMMANDS, _HERE))
@shared_options
def service() -> None:
    """Run the relay as a service of systemd.

    `install` says what it does, changes only what differs, and may be run again at any time.
    """


_dry_run = click.option(
    "--dry-run", is_flag=True, help="Print what would be done, and change nothing."
)


@click.command(
    epilog=(
        "Without any of them, the options of an earlier installation stay. Everything else is set "
        "in relay.toml (docs/relay.md).\n\n"
        "\b\nExample:\n"
        "  sudo /opt/cloud-connect/bin/cloud-connect-relay service install \\\n"
        "      --public-url https://relay.example.com"
    )
)
@click.option("--public-url", metavar="URL", help="Where the relay is reached from outside.")
@click.option("--host", metavar="H", help="Address to bind.  [default: 127.0.0.1]")
@click.option("--port", type=_PORT, default=None, help="Port of the API.  [default: 8080]")
@click.option("--tunnel-port", type=_PORT, help="Port that agents dial.  [default: 8081]")
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Certificate (PEM): speak TLS.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Its private key (PEM).")
@click.option("--no-start", is_flag=True, help="Do not start a relay that was initialised.")
@_dry_run
@shared_options
@pass_invocation
def install(
    invocation: Invocation,
    *,
    public_url: str | None,
    host: str | None,
    port: int | None,
    tunnel_port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    no_start: bool,
    dry_run: bool,
) -> int:
    """Make this machine run the relay, from its next start on, too."""
    from cloud_connect.services.commands import carry_out, show_plan

    given = {
        "--host": host,
        "--port": port,
        "--tunnel-port": tunnel_port,
        "--public-url": public_url,
        "--tls-cert": tls_cert,
        "--tls-key": tls_key,
    }
    if any(value is not None for value in given.values()):
        given["--port"], given["--tunnel-port"] = port or 8080, tunnel_port or 8081
    flags = [word for name, value in given.items() if value is not None for word in (name, value)]
    plan = _backend(invocation, flags=tuple(map(str, flags)), start=not no_start).installation()
    if dry_run:
        return show_plan(plan, as_json=invocation.json)
    return carry_out(plan, as_json=invocation.json, verb="installed")


@click.command()
@click.option(
    "--purge", is_flag=True, help="Also the account and all data: keys, connectors, records."
)
@click.option("--yes", is_flag=True, help="Do not ask before --purge.")
@_dry_run
@shared_options
@pass_invocation
def uninstall(invocation: Invocation, *, purge: bool, yes: bool, dry_run: bool) -> int:
    """Stop the service and remove it; the relay's data stays unless --purge."""
    from cloud_connect.services.commands import carry_out, show_plan

    plan = _backend(invocation).removal(purge=purge)
    if dry_run:
        return show_plan(plan, as_json=invocation.json)
    if purge and not yes and not plan.refusals:
        click.confirm(
            "Remove the relay with its keys, connectors and records, for good?",
            abort=True,
            err=True,
        )
    return carry_out(plan, as_json=invocation.json, verb="removed")


@click.command()
@shared_options
@pass_invocation
def start(invocation: Invocation) -> int:
    """Start the service, and return once it takes calls."""
    return _control(invocation, "start")


@click.command()
@shared_options
@pass_invocation
def stop(invocation: Invocation) -> int:
    """Stop the service once the running calls have ended."""
    return _control(invocation, "stop")


@click.command()
@shared_options
@pass_invocation
def restart(invocation: Invocation) -> int:
    """Stop the service and start it again, as after an upgrade."""
    return _control(invocation, "restart")


@click.command()
@shared_options
@pass_invocation
def status(invocation: Invocation) -> int:
    """Say what systemd knows; exit 0 only if the service runs."""
    from cloud_connect.services.commands import show_status

    return show_status(
        _backend(invocation).status(),
        as_json=invocation.json,
        install="cloud-connect-relay service install",
    )


@click.command()
@shared_options
@pass_invocation
def verify(invocation: Invocation) -> int:
    """Read back from this machine what the installation set; exit 1 if anything differs."""
    from cloud_connect.services.commands import show_findings

    return show_findings(_backend(invocation).verify(), as_json=invocation.json)


def _backend(
    invocation: Invocation, *, flags: tuple[str, ...] = (), start: bool = True
) -> "ServiceBackend":
    import sys

    from cloud_connect_relay.hosting.service import RelayWish, relay_service

    platform: str = sys.platform  # as a value: what follows is checked for all of them
    if not platform.startswith("linux"):
        raise ConfigurationError("The relay is installed as a service on Linux only.")
    return relay_service(RelayWish(home=invocation.data_dir, flags=flags, start=start))


def _control(invocation: Invocation, verb: str) -> int:
    from cloud_connect.services.backend import Verb
    from cloud_connect.services.commands import command_service

    return command_service(_backend(invocation), Verb(verb), as_json=invocation.json)
