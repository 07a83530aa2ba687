"""``cloud-connect completion``: the script by which a shell completes our commands."""

from typing import Final

import click

from cloud_connect_agent.cli.invocation import shared_options

__all__ = ["completion"]

_PROGRAM: Final = "cloud-connect"
_VARIABLE: Final = "_CLOUD_CONNECT_COMPLETE"  # which click derives from the name
_SHELLS: Final = ("bash", "zsh", "fish", "powershell")


@click.command(
    epilog=(
        "\b\nOnce, for all later sessions:\n"
        "  bash        cloud-connect completion bash "
        "> ~/.local/share/bash-completion/completions/cloud-connect\n"
        "  zsh         cloud-connect completion zsh > ~/.zfunc/_cloud-connect\n"
        "  fish        cloud-connect completion fish "
        "> ~/.config/fish/completions/cloud-connect.fish\n"
        "  PowerShell  this line in the file that $PROFILE names:\n"
        "              cloud-connect completion powershell | Out-String | Invoke-Expression"
    )
)
@click.argument("shell", type=click.Choice(_SHELLS))
@shared_options
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes commands, options and their values."""
    from click.shell_completion import ShellComplete, get_completion_class

    kind: type[ShellComplete] | None = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    script = kind(context.find_root().command, {}, _PROGRAM, _VARIABLE)
    # Not its `source()`, which looks for a bash here: the script may be for elsewhere.
    click.echo(script.source_template % script.source_vars())
