"""Pure: a policy file's text, read strictly; what is wrong is named with its line."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.policy.hours import Hours
from cloud_connect_agent.policy.rules import PolicyDocument, Rule

__all__ = ["parse_policy"]


def parse_policy(text: str) -> PolicyDocument:
    """Read a policy file's text.

    Raises:
        ConfigurationError: If it is not TOML or has an unknown key or value; it names the line,
            and the key that may have been meant.
    """
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        said = str(exc) if isinstance(exc, tomllib.TOMLDecodeError) else "it is nested too deeply"
        raise ConfigurationError(f"policy.toml is not valid TOML: {said}.") from exc
    try:
        return PolicyDocument.model_validate(content)
    except ValidationError as exc:
        # A key that nobody knows is often what its neighbour misses: it is named first.
        found = exc.errors(include_url=False, include_context=False, include_input=False)
        first = min(found, key=lambda error: error["type"] != "extra_forbidden")
        raise ConfigurationError(_sentence(first, text)) from exc


def _sentence(error: ErrorDetails, text: str) -> str:
    loc = error["loc"]
    place = ".".join(str(part) for part in loc) or "the file"
    line = _line_of(loc, text)
    where = place if line is None else f"{place} (line {line})"
    if error["type"] != "extra_forbidden":
        return f"policy.toml is wrong at {where}: {error['msg']}."
    near = difflib.get_close_matches(str(loc[-1]), _known(loc), n=1, cutoff=0.5)
    meant = f"; did you mean “{near[0]}”?" if near else "."
    return f"policy.toml has an unknown key: {where}{meant}"


def _known(loc: Sequence[int | str]) -> list[str]:
    """The keys that may stand where *loc* is."""
    model: type[BaseModel] = PolicyDocument
    if "hours" in loc[:-1]:
        model = Hours
    elif loc[0] == "rules" and len(loc) > 1:
        model = Rule
    fields: Mapping[str, object] = model.model_fields
    return ["from" if name == "start" else name for name in fields]


def _line_of(loc: Sequence[int | str], text: str) -> int | None:
    """The line on which *loc* stands, counted from 1, if it can be told."""
    lines = text.splitlines()
    keys = [part for part in loc if isinstance(part, str)]
    if not keys:
        return None
    start, end = 0, next((n for n, line in enumerate(lines) if _opens(line)), len(lines))
    if loc[0] == "rules" and len(loc) > 1 and isinstance(loc[1], int):
        tables = [n for n, line in enumerate(lines) if _opens(line) and "rules" in line]
        rules = [n for n in tables if lines[n].lstrip().startswith("[[")]
        if loc[1] >= len(rules):
            return None
        start = rules[loc[1]]
        end = rules[loc[1] + 1] if loc[1] + 1 < len(rules) else len(lines)
        keys = keys[1:] or [""]
    for key in reversed(keys):
        for number in range(start, end):
            if _key_of(lines[number]) == key or (len(keys) > 1 and _holds(lines[number], key)):
                return number + 1
    return start + 1 if loc[0] == "rules" and len(loc) > 1 else None


def _opens(line: str) -> bool:
    return line.lstrip().startswith("[")


def _key_of(line: str) -> str:
    return line.partition("=")[0].strip().strip("\"'")


def _holds(line: str, key: str) -> bool:
    """Whether an inline table on *line* has *key*."""
    return any(_key_of(part) == key for part in line.replace("{", ",").split(","))
