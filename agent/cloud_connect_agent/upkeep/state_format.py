"""Which format the agent's files have, so that no program takes files for its own that are not.

One number stands for the whole folder. A program reads the formats before its own, by migrating
them when it starts, and none after it: what a newer one wrote may mean something else.
"""

import contextlib
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.durable import write_durably
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.version import VERSION

__all__ = ["STATE_FORMAT", "StateFormat", "check_format", "read_format", "write_format"]

STATE_FORMAT: Final = 1
_MAX_BYTES: Final = 4096


class StateFormat(BaseModel):
    """What the files say of themselves.

    Attributes:
        format: 0 before it was noted.
        program: The version that brought them there.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = Field(ge=0, le=1_000_000)
    program: str = Field(default="", max_length=64)


def read_format(paths: AgentPaths) -> StateFormat | None:
    """Return the format of the files that are there; ``None`` without any.

    Raises:
        ConfigurationError: If the note of it cannot be read.
        PermissionError: If this account may not look there.
    """
    try:
        return StateFormat.model_validate_json(paths.format_file.read_bytes()[:_MAX_BYTES])
    except FileNotFoundError:
        used = (paths.vault_dir, paths.journal_file, paths.generation_file)
        return StateFormat(format=0) if any(one.exists() for one in used) else None
    except ValidationError as exc:
        raise ConfigurationError(
            f"The file {paths.format_file} is damaged: restore it from your backup, or remove it "
            "if this PC ran no newer version of the agent."
        ) from exc
    except PermissionError:
        raise
    except OSError as exc:
        raise ConfigurationError(
            f"The file {paths.format_file} cannot be read: {exc.strerror}."
        ) from exc


def write_format(paths: AgentPaths, number: int = STATE_FORMAT) -> None:
    """Note the format, durably.

    Raises:
        OSError: If the disk does not take it.
    """
    note = StateFormat(format=number, program=VERSION)
    write_durably(paths.format_file, orjson.dumps(note.model_dump()) + b"\n")


def check_format(paths: AgentPaths, *, newest: int = STATE_FORMAT) -> None:
    """Refuse the files of a newer program; this one would misread them.

    Args:
        newest: The format up to which they are understood.

    Raises:
        ConfigurationError: If they are.
    """
    with contextlib.suppress(PermissionError):  # who may not look there changes nothing either
        found = read_format(paths)
        if found is not None and found.format > newest:
            raise ConfigurationError(
                f"A newer version of the agent ({found.program or 'unknown'}) has changed the "
                f"files in {paths.state_dir} to format {found.format}; this one ({VERSION}) knows "
                f"format {newest}. Install that version again, or go back with a backup of before: "
                "`cloud-connect restore FILE --force`."
            )
