"""``cloud-connect reload``: a running agent reads its files again, and stays connected."""

import click

from cloud_connect.command_line import ExitStatus
from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import mark, note
from cloud_connect_agent.control import AgentNotRunningError, ask

__all__ = ["reload"]


@click.command(
    epilog=(
        "Exit status: 0 if done, 4 if no agent runs, 78 if agent.toml or policy.toml is wrong.\n\n"
        "\b\nExample:\n  cloud-connect reload"
    )
)
@shared_options
@pass_invocation
def reload(invocation: Invocation) -> int:
    """Have the running agent read settings, policy and credentials again.

    The session and the calls that run stay. What can change at once does: policy, sections log,
    procore and proxy. Of the rest it says that it waits for a restart. An agent.toml that is
    wrong changes nothing. `systemctl reload` (SIGHUP) does the same.
    """
    try:
        answer = ask(invocation.paths.control_socket, {"command": "reload"})
    except AgentNotRunningError:
        raise
    except CloudConnectError as exc:
        hint = f"see `cloud-connect{invocation.hint()} config check`"
        raise ConfigurationError(f"{exc.message} Nothing was changed; {hint}.") from exc
    applied, waiting = answer["applied"], answer["restart"]
    problem = (answer.get("policy") or {}).get("problem")
    if invocation.json:
        document = {"reloaded": True, "applied": applied, "restart": waiting}
        print_json({**document, "policy_problem": problem})
    else:
        for name in applied:
            click.echo(f"{mark('PASS')} {name} holds from here on.")
        for name in waiting:
            click.echo(f"{mark('WARN')} {name} waits for a restart.")
        if problem is None:
            click.echo("Read again; the connection stayed." if applied or waiting else _UNCHANGED)
        if waiting:
            how = f": `{invocation.restarting()}`" if invocation.is_service else ""
            note(f"Restart the agent for what waits{how}.")
    if problem is not None:
        note(problem)
        return ExitStatus.BAD_CONFIGURATION
    return ExitStatus.DONE


_UNCHANGED = "Read again; no setting has changed. Policy and credentials are as in their files."
