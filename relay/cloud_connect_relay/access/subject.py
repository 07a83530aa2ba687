"""Whom a request is made for: what the lists of a data source may name them by."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

__all__ = ["PARTNER_ROLE", "Subject", "Unknown", "Use"]

PARTNER_ROLE: Final = "partner"
_MEMBER_GROUP: Final = "member"
_PROGRAM_GROUP: Final = "program"


class Use(StrEnum):
    """What a data source is used for."""

    EDIT = "edit"
    TEST = "test"
    TREE = "tree"
    DRIFT = "drift"
    QUERY = "query"
    LIST_RECORDS = "list records"
    CREATE_RECORDS = "create records"
    ONE_RECORD = "read, change or delete a record by its id"
    FILES = "files"
    PASSTHROUGH = "pass-through"
    SEALED = "sealed call"


class Unknown(StrEnum):
    """What users count as whom the relay does not know, when a platform names them."""

    MEMBERS = "members"
    PARTNERS = "partners"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A person, or a program that acts for nobody in particular.

    Attributes:
        names: Ids and user names, case folded; of a program the id of its key.
        groups: The role, which lists may name as a group.
        partner: Somebody from outside: never more than security settings open to partners.
        owner: A key with all scopes that acts for nobody: it could make itself anything that a
            list names, so lists do not bind it, and nobody is locked out for good.
        edits: The scopes cover changes of data sources.
        person: Who it is, if it is a person: what no other person's repeats may be taken for.
    """

    names: frozenset[str]
    groups: frozenset[str]
    partner: bool = False
    owner: bool = False
    edits: bool = False
    person: str | None = None

    @classmethod
    def of_program(cls, key_id: str, scopes: frozenset[str]) -> Self:
        """Return whom an API key stands for that acts for nobody."""
        return cls(
            names=frozenset({key_id.casefold()}),
            groups=frozenset({_PROGRAM_GROUP}),
            owner="all" in scopes,
            edits=_edits(scopes),
        )

    @classmethod
    def of_user(cls, user_id: str, username: str, *, role: str, scopes: frozenset[str]) -> Self:
        """Return whom somebody stands for who is known here, with what they may do now."""
        partner = role == PARTNER_ROLE
        return cls(
            names=frozenset({user_id.casefold(), username.casefold()}),
            groups=frozenset({role} if partner else {role, _MEMBER_GROUP}),
            partner=partner,
            edits=_edits(scopes),
            person=user_id,
        )

    @classmethod
    def of_stranger(cls, name: str, unknown: Unknown) -> Self:
        """Return whom a platform's user stands for who is not known here."""
        partner = unknown is Unknown.PARTNERS
        return cls(
            names=frozenset({name.casefold()}),
            groups=frozenset({PARTNER_ROLE if partner else _MEMBER_GROUP}),
            partner=partner,
            person=f"stranger:{name}",
        )


def _edits(scopes: frozenset[str]) -> bool:
    return not scopes.isdisjoint({"all", "datasources:write"})
