"""API keys and access tokens as text: ``cck_live_<id>_<secret>`` and its siblings."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from cloud_connect_relay.ids import random_text

__all__ = [
    "ROLES",
    "SCOPES",
    "STRANGER_SCOPES",
    "Credential",
    "CredentialKind",
    "common_scopes",
    "expand_scopes",
]

_SECRET_CHARACTERS: Final = 52  # 260 bits
_ENVIRONMENT: Final = "live"
_TEXT: Final = re.compile(r"(cc[krst])_([a-z]{1,16})_([0-9a-z]{16})_([0-9a-z]{52})", re.ASCII)

SCOPES: Final = frozenset(
    {
        "all",
        "audit:read",
        "calls:read",
        "calls:test",
        "calls:write",
        "connectors:enrol",
        "connectors:manage",
        "connectors:read",
        "datasources:read",
        "datasources:write",
        "keys:manage",
        "metrics:read",
        "users:manage",
    }
)

# What people may do. The platform's *Administrator* and *Manage data sources* are the first two.
ROLES: Final = {
    "administrator": frozenset({"all"}),
    "data-source-manager": frozenset(
        {
            "calls:read",
            "calls:test",
            "connectors:read",
            "datasources:read",
            "datasources:write",
        }
    ),
    "operator": frozenset(
        {
            "calls:read",
            "calls:test",
            "calls:write",
            "connectors:enrol",
            "connectors:manage",
            "connectors:read",
            "datasources:read",
            "datasources:write",
            "metrics:read",
        }
    ),
    "viewer": frozenset({"calls:read", "connectors:read", "datasources:read", "metrics:read"}),
    # From outside: queries, and only of data sources that are open to partners.
    "partner": frozenset({"calls:read", "calls:write"}),
}

# What a user may do whom a platform names and the relay does not know: use forms.
STRANGER_SCOPES: Final = frozenset({"calls:read", "calls:test", "calls:write"})


def expand_scopes(scopes: frozenset[str]) -> frozenset[str]:
    """Spell out ``all``."""
    return SCOPES if "all" in scopes else scopes


def common_scopes(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """Return what both cover."""
    if "all" in one:
        return other
    return one if "all" in other else one & other


class CredentialKind(StrEnum):
    """What a credential is, by its first letters."""

    API_KEY = "cck"
    ACCESS_TOKEN = "cct"  # noqa: S105  a prefix, no password
    REFRESH_TOKEN = "ccr"  # noqa: S105  a prefix, no password
    SESSION = "ccs"

    @classmethod
    def of_stored(cls, kind: str) -> Self:
        """Return what the text of a credential begins with that the store calls *kind*."""
        return cls(_STORED.get(kind, "cct"))

    @property
    def id_prefix(self) -> str:
        """The prefix of its id in the store."""
        return "key" if self is CredentialKind.API_KEY else "tok"


# The kinds in the store; those of access tokens only differ in how they came about.
_STORED: Final = {"key": "cck", "refresh": "ccr", "console": "ccs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A credential, taken apart.

    Attributes:
        id: What the store finds it by; no secret.
    """

    kind: CredentialKind
    id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls, kind: CredentialKind) -> Self:
        """Make a fresh one."""
        return cls(
            kind=kind,
            id=f"{kind.id_prefix}_{random_text()}",
            secret=random_text(_SECRET_CHARACTERS),
        )

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a credential; ``None`` if *text* cannot be one."""
        if (match := _TEXT.fullmatch(text)) is None:
            return None
        kind = CredentialKind(match[1])
        return cls(kind=kind, id=f"{kind.id_prefix}_{match[3]}", secret=match[4])

    def reveal(self) -> str:
        """The whole of it as text, secret included."""
        tail = self.id.partition("_")[2]
        return f"{self.kind}_{_ENVIRONMENT}_{tail}_{self.secret}"
