"""The security settings of a data source: who may edit it, who may use it for what."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from cloud_connect.errors import InsufficientScopeError
from cloud_connect_relay.access.partners import PartnerRules
from cloud_connect_relay.access.subject import Subject, Use

__all__ = ["DataSourceSecurity", "Listed"]

_GROUP: Final = "group:"
_MAX_NAME: Final = 256
_NAMES: Final = ("id", "userName", "username", "email", "name", "text", "title")

# Whoever may edit a data source sees whether it works.
_OF_EDITORS: Final = frozenset({Use.TEST, Use.TREE, Use.DRIFT})
# Raw paths and files are nothing that a partner's conditions could be applied to.
_OF_PARTNERS: Final = frozenset(
    {Use.TREE, Use.QUERY, Use.LIST_RECORDS, Use.CREATE_RECORDS, Use.ONE_RECORD}
)
_OF_FILTERED_PARTNERS: Final = _OF_PARTNERS - {Use.ONE_RECORD}

_CLOSED: Final = "The security settings of this data source do not let you use it"


class Listed(NamedTuple):
    """An entry of a list of users and groups."""

    name: str
    is_group: bool

    @classmethod
    def of(cls, entry: object) -> "Listed":
        """Read an entry: ``ann``, ``usr_…``, ``key_…``, ``group:operator``, or an object.

        Raises:
            ValueError: If it names nobody.
        """
        if isinstance(entry, str):
            prefixed = entry.strip().casefold().startswith(_GROUP)
            name = entry.strip()[len(_GROUP) :] if prefixed else entry
            return cls(_checked(name), prefixed)
        if isinstance(entry, Mapping):
            # The id is certain; a name may be another's tomorrow, so it counts without one only.
            given = next((entry[key] for key in _NAMES if entry.get(key)), None)
            if isinstance(given, str | int):
                return cls(_checked(str(given)), str(entry.get("type", "")).casefold() == "group")
        raise ValueError(
            "an entry is a user's id or name, the id of an API key, 'group:' and a role, or an"
            " object with 'id' or 'name'"
        )

    def includes(self, subject: Subject) -> bool:
        """Whether it names *subject*."""
        return self.name in (subject.groups if self.is_group else subject.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSourceSecurity:
    """The security dialog, as calls are judged by it.

    Attributes:
        admins: Who may edit; nobody named: whoever may edit data sources.
        users: Who may use it; nobody named: everybody.
        excluded: Who may not, whatever else is said.
        rules: What partners are bound to; ``None``: their queries run as they are.
        readable: Whether the stored settings were understood; if not, nobody is let in.
    """

    admins: tuple[Listed, ...] = ()
    users: tuple[Listed, ...] = ()
    excluded: tuple[Listed, ...] = ()
    partners: bool = False
    rules: PartnerRules | None = None
    readable: bool = True

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> Self:
        """Read the stored members of the dialog."""
        try:
            return cls.parse(members)
        except (ValueError, TypeError):
            return cls(readable=False)

    @classmethod
    def parse(cls, members: Mapping[str, Any]) -> Self:
        """Read the members of the dialog.

        Raises:
            ValueError: If one is not understood.
        """
        return cls(
            admins=_entries(members.get("admins")),
            users=_entries(members.get("allowedUsers")),
            excluded=_entries(members.get("exclusionUsers")),
            partners=members.get("enableB2B") is True,
            rules=PartnerRules.parse(members.get("b2bMappings") or ())
            if members.get("enableFiltering") is True
            else None,
        )

    def rules_for(self, subject: Subject) -> PartnerRules | None:
        """Return what the queries of *subject* are bound to."""
        return self.rules if subject.partner else None

    def check(self, subject: Subject, use: Use) -> None:
        """Refuse what the settings do not let *subject* do.

        Raises:
            InsufficientScopeError: Saying which setting is in the way.
        """
        if subject.owner:
            return
        if not self.readable:
            raise InsufficientScopeError(
                "The security settings of this data source are not understood, so it is closed:"
                " save them again with an API key that has the scope 'all'."
            )
        if use is Use.EDIT:
            self._check_edit(subject)
        else:
            self._check_use(subject, use)

    def _check_edit(self, subject: Subject) -> None:
        if not self._may_edit(subject):
            raise InsufficientScopeError(
                "Only the connection administrators of this data source may change it ('admins')."
            )

    def _check_use(self, subject: Subject, use: Use) -> None:
        if _named(self.excluded, subject):
            raise InsufficientScopeError(f"{_CLOSED} ('exclusionUsers').")
        if subject.partner:
            self._check_partner(use)
        if use in _OF_EDITORS and self._may_edit(subject):
            return
        if self.users and not _named(self.users, subject):
            raise InsufficientScopeError(
                f"{_CLOSED}: one of its connection administrators can add you ('allowedUsers')."
            )

    def _check_partner(self, use: Use) -> None:
        if not self.partners:
            raise InsufficientScopeError(f"{_CLOSED}: it is not open to partners ('enableB2B').")
        if use not in _OF_PARTNERS:
            raise InsufficientScopeError(
                f"{_CLOSED} for this: partners may query it, and read and write its records."
            )
        if self.rules is not None and use not in _OF_FILTERED_PARTNERS:
            raise InsufficientScopeError(
                f"{_CLOSED} for this: default query parameters hold for partners, which only"
                " queries and lists can follow. Send a query with a condition on 'id' instead."
            )

    def _may_edit(self, subject: Subject) -> bool:
        if subject.partner or not subject.edits:
            return False
        return not self.admins or _named(self.admins, subject)


def _entries(value: object) -> tuple[Listed, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise ValueError("it must be a list")  # noqa: TRY004  one kind of error for what is wrong
    return tuple(Listed.of(entry) for entry in value)


def _named(entries: Iterable[Listed], subject: Subject) -> bool:
    return any(entry.includes(subject) for entry in entries)


def _checked(name: str) -> str:
    folded = name.strip().casefold()
    if not folded or len(folded) > _MAX_NAME or not folded.isprintable():
        raise ValueError(f"a name has 1 to {_MAX_NAME} characters and no line breaks")
    return folded
