"""``cloud-connect windows-setup``: what the Windows package runs when it is put on or taken off.

Windows Installer keeps no word of a program that it runs, so what was done, or why it failed, is
written to ``install.log`` beside the agent's own log.
"""

import contextlib
import io
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.redact import redact_text
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options

if TYPE_CHECKING:
    from cloud_connect_agent.hosting.service import ServiceBackend

__all__ = ["windows_setup"]

_LOG_NAME: Final = "install.log"
_ON_WINDOWS: Final[bool] = sys.platform == "win32"


@click.group(hidden=True)
@shared_options
def windows_setup() -> None:
    """Set up or take down the agent; the Windows package calls this."""
    if not _ON_WINDOWS:  # it would install or remove this machine's service, of another kind
        raise ConfigurationError(
            "This is what the Windows package runs; here, use `cloud-connect service install`."
        )


# The package passes every property, and an empty one for what nobody said.
@windows_setup.command()
@click.option("--relay", default="", metavar="URL")
@click.option("--token-file", default="", metavar="FILE")
@click.option("--name", default="", metavar="NAME")
@click.option("--group", default="", metavar="GROUP")
@click.option("--policy", default="", metavar="POLICY")
@click.option("--ca", default="", metavar="FILE")
@shared_options
@pass_invocation
@click.pass_context
def install(
    context: click.Context,
    invocation: Invocation,
    *,
    relay: str,
    token_file: str,
    name: str,
    group: str,
    policy: str,
    ca: str,
) -> None:
    """Make the service; enrol this PC if a relay is named; start the service once it is enrolled.

    Done again, as by an upgrade or a repair, it changes nothing that is as it should be.
    """
    from cloud_connect_agent.hosting.service import Verb

    with _recorded(invocation):
        if bool(relay) != bool(token_file):
            raise ConfigurationError("RELAY and TOKENFILE belong together: give both, or neither.")
        backend = _service(invocation)
        plan = backend.installation()
        if plan.refusals:
            raise ConfigurationError(" ".join(plan.refusals))
        for done in plan.carry_out():
            click.echo(done)
        if relay and not _enrolled_there(invocation, relay):
            from cloud_connect_agent.cli.enrol import enrol

            context.invoke(
                enrol,
                relay=relay,
                token_file=Path(token_file),
                name=name or None,
                group=group or None,
                policy=policy or None,
                ca=Path(ca) if ca else None,
                username=None,
                force=False,
            )
            _delete(Path(token_file))
        if invocation.settings().relay.enrolled:
            backend.control(Verb.START)
            click.echo(f"Started the service {backend.name}.")
        else:
            click.echo("Not started: this PC is not enrolled yet.")


@windows_setup.command()
@click.option("--purge", default="", metavar="1")
@shared_options
@pass_invocation
def uninstall(invocation: Invocation, *, purge: str) -> None:
    """Remove the service; with ``PURGE=1`` also the agent's identity, credentials and records."""
    everything = purge == "1"
    with contextlib.nullcontext() if everything else _recorded(invocation):
        for done in _service(invocation).removal(purge=everything).carry_out():
            click.echo(done)


def _service(invocation: Invocation) -> "ServiceBackend":
    from cloud_connect_agent.hosting.service import ServiceWish, service_of

    return service_of(ServiceWish(home=invocation.home, start=False))


def _enrolled_there(invocation: Invocation, relay: str) -> bool:
    """Say whether this PC is enrolled at *relay* already.

    Raises:
        CloudConnectError: If it is enrolled at another one.
    """
    known = invocation.settings().relay
    if not known.enrolled:
        return False
    if known.url != relay.rstrip("/"):
        raise CloudConnectError(
            f"This PC is enrolled at {known.url} already. Run `cloud-connect unenrol` first, or "
            "install without RELAY and TOKENFILE to keep that."
        )
    click.echo(f"Enrolled at {known.url} already; the token file was not read.")
    return True


def _delete(token_file: Path) -> None:
    try:
        token_file.unlink()
    except OSError as exc:  # it is used up: worth a word, not worth a failure
        click.echo(f"{token_file} could not be deleted: {exc.strerror}.")
    else:
        click.echo(f"Deleted {token_file}.")


@contextlib.contextmanager
def _recorded(invocation: Invocation) -> Iterator[None]:
    """Write what is printed meanwhile, and the error that ends it, to the log of installations."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    except Exception as exc:
        if isinstance(exc, CloudConnectError | click.ClickException):
            said.write(f"Failed: {exc.message}\n")
        else:
            said.write(redact_text("".join(traceback.format_exception(exc))))
        raise
    finally:
        click.echo(said.getvalue(), nl=False)
        folder = invocation.paths.log_dir
        # Only in a folder that the installation has protected: others could put links there.
        with contextlib.suppress(OSError):
            if invocation.paths.config_dir.is_dir():
                folder.mkdir(exist_ok=True)
                with (folder / _LOG_NAME).open("a", encoding="utf-8") as log:
                    log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{said.getvalue()}\n")
