"""Writes ``docs/settings.md`` from the settings' own models, to standard output.

``python .ci/settings_page.py > docs/settings.md``
"""

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel

from cloud_connect_agent.settings import AgentSettings
from cloud_connect_relay.settings import RelaySettings

HEAD: Final = """\
# Settings

Every setting of the agent (`agent.toml`) and of the relay (`relay.toml`), as the programs know
them: this page is made from their code. Nothing has to be set by hand: `enrol` and `init` write
what is needed.

A setting is taken from the first of these that has it: the command's flag, the environment, the
file, the default. The variable's name is `CLOUD_CONNECT_` (for the relay `CLOUD_CONNECT_RELAY_`),
then the setting's path in capitals with two underscores between its parts:

```sh
CLOUD_CONNECT_LOG__LEVEL=debug                  # [log] level of the agent
CLOUD_CONNECT_RELAY_API__HEAD_TIMEOUT=10        # [api] head_timeout of the relay
CLOUD_CONNECT_PROXY__NO_PROXY=intern.example.com,10.0.0.0/8
```

A name that does not exist, or a value that is not allowed, stops the program with exit status 78
and a sentence that names it. Times are seconds and sizes are bytes unless the name says otherwise.
"""
AGENT: Final = """\
## The agent: `agent.toml`

It lies in the folder given with `--home`, else in the platform's configuration folder.
"""
RELAY: Final = """\
## The relay: `relay.toml`

It lies in the folder given with `--data-dir`. `CLOUD_CONNECT_RELAY_DATA_DIR` names that folder.
"""
NAMES: Final = {"environments": "ENVIRONMENT", "accounts": "ACCOUNT"}
# What the code's own words leave out, because its types say it there.
MORE: Final = {
    "agent": {
        "relay.connector_id": "This PC's id at the relay.",
        "relay.relay_id": "The relay's id.",
        "relay.ca_file": (
            "Certificate authorities (PEM) to trust for the relay, beside the system's."
        ),
        "procore.environments": "One section for each environment.",
        "procore.read_concurrency": "Reads that are sent to Procore at once.",
        "procore.write_concurrency": "Writes that are sent to Procore at once.",
        "procore.environments.ENVIRONMENT.api_url": "Where Procore's API answers.",
        "procore.environments.ENVIRONMENT.login_url": "Where Procore's login answers.",
        "procore.environments.ENVIRONMENT.ca_file": (
            "Certificate authorities (PEM) to trust for this environment, beside the system's."
        ),
        "tunnel.connect_timeout": "For the connection to the relay, TLS included.",
        "tunnel.upgrade_timeout": "For the relay to accept the WebSocket.",
        "tunnel.handshake_timeout": "For both ends to prove who they are.",
        "tunnel.backoff_base": "The longest first wait before another dial; it doubles each time.",
        "tunnel.backoff_cap": "The longest wait before another dial.",
        "tunnel.healthy_after": "A session that lasted so long lets the waits begin anew.",
        "tunnel.drain_timeout": "For running calls to end when the agent stops.",
        "tunnel.round_trip_interval": "Between two measurements of the round trip to the relay.",
        "log.level": "The least important events that are logged.",
        "audit.retention_days": "Records older than that are deleted.",
        "audit.max_bytes": "Of all records; the oldest go first.",
    },
    "relay": {
        "data_dir": "The relay's folder; set by `--data-dir`, never in the file.",
        "host": "The address that both listeners bind.",
        "port": "Of the API; 0 picks a free one.",
        "tunnel_port": "Of the agents' listener; 0 picks a free one.",
        "tls_cert": "The relay's certificate chain (PEM), if it ends TLS itself.",
        "tls_key": "The certificate's key (PEM).",
        "log.level": "The least important events that are logged.",
        "log.format": "For people, for programs, or as standard error is a terminal or not.",
    },
}
ROLE: Final = re.compile(r":\w+:`~?([^`]+)`")

WORTH_SAYING: Final = 2**53  # a greater bound is the number format's, not ours

Schema = dict[str, object]


def page() -> str:
    """Return the whole page."""
    parts = [HEAD, AGENT, *sections(AgentSettings, "agent")]
    parts += [RELAY, *sections(RelaySettings, "relay")]
    return "\n".join(parts)


def sections(model: type[BaseModel], end: str, path: str = "") -> Iterator[str]:
    """Yield the section of *model* and those below it."""
    told = described(model)
    rows, below = [], []
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        dotted = f"{path}.{name}" if path else name
        inner = models_in(field.annotation)
        if inner is not None:
            within, many = inner
            below.append((within, f"{dotted}.{NAMES[name]}" if many else dotted))
            continue
        what = told.get(name) or MORE[end].get(dotted)
        if what is None:
            raise SystemExit(f"{end}: nothing says what {dotted} is")
        shape = properties(schema)[name]
        required = field.is_required()
        default = "" if required else value(field.get_default(call_default_factory=True))
        cells = (f"`{name}`", default, takes(shape), what)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    if rows:
        head = f"### `[{path}]`" if path else "### Above all sections"
        yield "\n".join(
            (
                head,
                "",
                summary(model) + "\n" if path else "",
                "| Setting | Default | Takes | What |",
                "| --- | --- | --- | --- |",
                *rows,
                "",
            )
        ).replace("\n\n\n", "\n\n")
    for within, dotted in below:
        yield from sections(within, end, dotted)


def models_in(annotation: object) -> tuple[type[BaseModel], bool] | None:
    """Return the model that a setting holds, and whether it holds many by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for part in getattr(annotation, "__args__", ()):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part, True
    return None


def described(model: type[BaseModel]) -> dict[str, str]:
    """Return what the docstring says of each attribute, in one line."""
    text = inspect.getdoc(model) or ""
    _, _, attributes = text.partition("Attributes:\n")
    told: dict[str, list[str]] = {}
    name = ""
    for line in attributes.splitlines():
        begun = re.match(r" {4}(\w+): (.*)", line)
        if begun:
            name = begun[1]
            told[name] = [begun[2]]
        elif name and line.startswith(" " * 8):
            told[name].append(line.strip())
        elif line.strip() and not line.startswith(" "):
            break
    return {name: markdown(" ".join(lines)) for name, lines in told.items()}


def summary(model: type[BaseModel]) -> str:
    """Return the first paragraph of the docstring."""
    return markdown(" ".join((inspect.getdoc(model) or "").split("\n\n")[0].split()))


def markdown(text: str) -> str:
    """Turn the docstring's marks into those of the page."""
    text = ROLE.sub(r"`\1`", text).replace("``None``", "unset").replace("``", "`")
    return re.sub(r"\*(\w+)\*", r"`\1`", text)


def properties(schema: Schema) -> dict[str, Schema]:
    """Return the settings in a schema."""
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def value(default: object) -> str:
    """Return a default as the file would have it; empty if there is none."""
    match default:
        case None | "" | () | {}:
            return ""
        case bool():
            return f"`{str(default).lower()}`"
        case float() if default.is_integer():
            return f"`{int(default)}`"
        case int() | float() | str():
            return f"`{default}`"
        case _:
            return ""


def takes(shape: Schema) -> str:
    """Say which values a setting takes."""
    options = shape.get("anyOf")
    if isinstance(options, list):
        return " or ".join(takes(one) for one in options if one.get("type") != "null")
    listed = shape.get("enum")
    if isinstance(listed, list):
        return ", ".join(f"`{one}`" for one in listed)
    items = shape.get("items")
    match shape.get("type"):
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number":
            return numbers(shape)
        case "array":
            return f"a list: {takes(items)}" if isinstance(items, dict) else "a list"
        case "string" if shape.get("format") == "password":
            return "text, masked in logs"
        case "string" if shape.get("format") == "path":
            return "a path"
        case _:
            return "text"


def numbers(shape: Schema) -> str:
    """Say which numbers a setting takes."""
    kind = "a whole number" if shape["type"] == "integer" else "a number"
    least, most = shape.get("minimum"), shape.get("maximum")
    above = shape.get("exclusiveMinimum")
    words = [kind]
    if above is not None:
        words.append(f"above {plain(above)}")
    if least is not None:
        words.append(f"from {plain(least)}")
    if isinstance(most, int | float) and most <= WORTH_SAYING:
        words.append(f"to {plain(most)}")
    return " ".join(words)


def plain(number: object) -> str:
    """Return a number without a needless fraction."""
    return f"{int(number)}" if isinstance(number, float) and number.is_integer() else f"{number}"


if __name__ == "__main__":
    sys.stdout.write(page())
