"""``cloud-connect config``: every setting, where its value comes from, and what is wrong."""

import os
from typing import TYPE_CHECKING, Any, Final

import click

from cloud_connect.command_line import ExitStatus
from cloud_connect.terminal import print_json, table
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import mark, note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud_connect_agent.settings_listing import Plain
    from cloud_connect_agent.settings_sources import SettingsSources

__all__ = ["config", "running_settings", "settings_document"]

_PREFIX: Final = "CLOUD_CONNECT_"
_NO_SETTINGS: Final = frozenset({"CLOUD_CONNECT_HOME", "CLOUD_CONNECT_COMMAND"})
_ALIKE: Final = 0.75  # of a variable's characters: others may be some other program's


@click.group()
@shared_options
def config() -> None:
    """Look at the settings: what holds, who said so, and what is wrong."""


@config.command(
    epilog=(
        "A service has an environment of its own: --running asks the agent itself.\n\n"
        "\b\nExamples:\n  cloud-connect config show --sources\n"
        "  cloud-connect config show log proxy\n"
        "  cloud-connect config show --running --changed --sources"
    )
)
@click.option("--sources", is_flag=True, help="Say where each value comes from.")
@click.option("--running", is_flag=True, help="What the running agent goes by.")
@click.option("--changed", is_flag=True, help="Only those that are not the default.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@shared_options
@pass_invocation
def show(
    invocation: Invocation, *, sources: bool, running: bool, changed: bool, names: tuple[str, ...]
) -> None:
    """Print every setting and its value; secrets are masked.

    NAME is a setting or a section, such as log.level or proxy.
    """
    rows = [
        row
        for row in (running_settings(invocation) if running else settings_document(invocation))
        if (not names or any(_is_in(row["name"], name) for name in names))
        and (not changed or row["source"] != "default")
    ]
    unknown = [name for name in names if not any(_is_in(row["name"], name) for row in rows)]
    if unknown and not changed:
        raise click.UsageError(
            f"There is no setting {unknown[0]}; see `cloud-connect config show`."
        )
    if invocation.json:
        print_json({"file": str(invocation.paths.config_file), "settings": rows})
        return
    if not rows:
        note("Every setting has its default.")
        return
    head = ("Setting", "Value", "From") if sources else ("Setting", "Value")
    table(head, ((row["name"], _text(row["value"]), row["from"])[: len(head)] for row in rows))
    for row in rows:
        if "pending" in row:
            note(f"{row['name']} is {_text(row['pending'])} in its source and not in use yet.")


@config.command(
    epilog=(
        "Exit status: 0 if it can be used, else 78.\n\n"
        "\b\nExamples:\n  cloud-connect config check\n  cloud-connect config check --json"
    )
)
@shared_options
@pass_invocation
def check(invocation: Invocation) -> int:
    """Say all that is wrong with agent.toml, its variables and policy.toml, with the line."""
    invocation.configure_logs()
    problems = [*_settings_problems(invocation), *_policy_problems(invocation)]
    ok = all(problem["status"] != "FAIL" for problem in problems)
    if invocation.json:
        print_json({"ok": ok, "problems": problems})
        return ExitStatus.DONE if ok else ExitStatus.BAD_CONFIGURATION
    for problem in problems:
        click.echo(f"{mark(problem['status'])} {problem['problem']}")
    if ok:
        click.echo(f"{mark('PASS')} Nothing is wrong in {invocation.paths.config_dir}.")
        return ExitStatus.DONE
    note("A running agent goes on with the settings that it has read.")
    return ExitStatus.BAD_CONFIGURATION


def settings_document(invocation: Invocation) -> list[dict[str, Any]]:
    """Return each setting with its value and its source, for people and for bundles.

    Raises:
        ConfigurationError: If something is wrong with them.
    """
    from cloud_connect.errors import ConfigurationError
    from cloud_connect_agent.settings import judge_settings
    from cloud_connect_agent.settings_listing import settings_in

    sources = _sources(invocation)
    settings, faults = judge_settings(sources)
    if settings is None:
        raise ConfigurationError(faults[0].sentence)
    rows = []
    for path, value in settings_in(settings):
        origin = sources.origin(path)
        rows.append(
            {
                "name": ".".join(path),
                "value": value,
                "source": origin.kind,
                "from": origin.words,
                "line": origin.line,
            }
        )
    return rows


def running_settings(invocation: Invocation) -> list[dict[str, Any]]:
    """Return the settings that the running agent goes by, in its own environment.

    Raises:
        AgentNotRunningError: If none runs.
    """
    from cloud_connect_agent.control import ask

    found: list[dict[str, Any]] = ask(invocation.paths.control_socket, {"command": "settings"})[
        "settings"
    ]
    return found


def _sources(invocation: Invocation) -> "SettingsSources":
    from cloud_connect_agent.settings import read_sources

    environ = os.environ  # noqa: TID251 - it is shown, not used
    flags = {"log": {"level": "debug"}} if invocation.debug else {}
    return read_sources(invocation.paths.config_file, environ=environ, flags=flags)


def _settings_problems(invocation: Invocation) -> "Iterator[dict[str, Any]]":
    from cloud_connect.errors import ConfigurationError
    from cloud_connect_agent.proxies import Proxies
    from cloud_connect_agent.settings import judge_settings

    file = invocation.paths.config_file
    try:
        sources = _sources(invocation)
    except ConfigurationError as exc:
        yield _problem(str(file), exc.message)
        return
    settings, faults = judge_settings(sources)
    for fault in faults:
        place = str(file) if fault.origin.kind == "file" else fault.origin.place
        yield _problem(
            place, fault.sentence, setting=fault.setting, line=fault.origin.line, meant=fault.meant
        )
    yield from _odd_variables()
    if settings is None:
        return
    try:
        Proxies.of(settings.proxy)
    except ConfigurationError as exc:
        origin = sources.origin(["proxy", "password_file"])
        said = f"proxy.password_file ({origin.words}): {exc.message}"
        yield _problem(str(file), said, setting="proxy.password_file", line=origin.line)
    files = [("relay.ca_file", settings.relay.ca_file)]
    files += [
        (f"procore.environments.{name}.ca_file", section.ca_file)
        for name, section in settings.procore.environments.items()
    ]
    for name, named in files:
        if named is not None and not named.is_file():
            origin = sources.origin(name.split("."))
            yield _problem(
                str(file) if origin.kind == "file" else origin.place,
                f"{name} ({origin.words}) names {named}, which is not there.",
                setting=name,
                line=origin.line,
            )


def _odd_variables() -> "Iterator[dict[str, Any]]":
    """Yield variables that are no settings and look as if they were meant to be."""
    import difflib

    from cloud_connect_agent.settings import AgentSettings

    sections = list(AgentSettings.model_fields)
    for name in sorted(os.environ):  # noqa: TID251 - it is judged, not used
        if not name.startswith(_PREFIX) or name in _NO_SETTINGS or "__" in name:
            continue
        word = name.removeprefix(_PREFIX).lower()
        if word in sections or word.startswith("relay_"):  # the relay has its own
            continue
        meant = next(
            (
                f"{one}__{word.removeprefix(one)[1:]}"
                for one in sections
                if word.startswith(f"{one}_")
            ),
            None,
        )
        meant = meant or next(iter(difflib.get_close_matches(word, sections, 1, _ALIKE)), None)
        if meant is not None:
            meant = f"{_PREFIX}{meant.upper()}"
            yield _problem(name, f"{name} sets nothing; did you mean “{meant}”?", meant=meant)


def _policy_problems(invocation: Invocation) -> "Iterator[dict[str, Any]]":
    import re

    from cloud_connect_agent.cli.policy_loading import current_policy, document_of, warnings_of

    file = invocation.paths.policy_file
    if not file.exists():
        return
    policy = current_policy(invocation)
    document = document_of(policy)
    if document is None:
        said = str(policy.summary().get("problem") or "policy.toml cannot be used.")
        found = re.search(r"\bline ([0-9]+)", said)
        yield _problem(str(file), said, line=int(found[1]) if found else None)
    for warning in warnings_of(document):
        yield _problem(str(file), warning, status="WARN")


def _problem(
    place: str | None,
    sentence: str,
    *,
    setting: str | None = None,
    line: int | None = None,
    meant: str | None = None,
    status: str = "FAIL",
) -> dict[str, Any]:
    return {
        "status": status,
        "place": place,
        "line": line,
        "setting": setting or None,
        "problem": sentence,
        "meant": meant,
    }


def _is_in(name: str, wanted: str) -> bool:
    return name == wanted or name.startswith(f"{wanted}.")


def _text(value: "Plain") -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value) or "-"
    return str(value)
