"""Access lists of Windows in their own text form (SDDL), read, written and compared.

It is what goldens can hold and what every administrator's tool prints. Only what our lists use is
understood; whatever else stands in a list counts as an entry of its own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["FULL", "MODIFY", "READ", "AccessList", "Entry"]

FULL: Final = 0x1F01FF  # FILE_ALL_ACCESS
MODIFY: Final = 0x1301BF  # everything but to change the list and the owner
READ: Final = 0x1200A9  # FILE_GENERIC_READ and FILE_GENERIC_EXECUTE

# [MS-DTYP], 2.5.1.1: the short names of the SIDs that a list of ours or of an installation holds.
_ALIASES: Final = {
    "SY": "S-1-5-18",
    "BA": "S-1-5-32-544",
    "BU": "S-1-5-32-545",
    "WD": "S-1-1-0",
    "AU": "S-1-5-11",
    "CO": "S-1-3-0",
    "OW": "S-1-3-4",
    "NU": "S-1-5-2",
    "IU": "S-1-5-4",
    "AN": "S-1-5-7",
    "LS": "S-1-5-19",
    "NS": "S-1-5-20",
}
_SHORT: Final = {sid: alias for alias, sid in _ALIASES.items()}
# [MS-DTYP], 2.5.1.1: rights by their short names.
_RIGHTS: Final = {
    "FA": FULL,
    "FR": 0x120089,
    "FW": 0x120116,
    "FX": 0x1200A0,
    "GA": 0x10000000,
    "GX": 0x20000000,
    "GW": 0x40000000,
    "GR": 0x80000000,
    "RC": 0x20000,
    "SD": 0x10000,
    "WD": 0x40000,
    "WO": 0x80000,
    "CC": 0x1,
    "DC": 0x2,
    "LC": 0x4,
    "SW": 0x8,
    "RP": 0x10,
    "WP": 0x20,
    "DT": 0x40,
    "LO": 0x80,
    "CR": 0x100,
}
# Bits by which a file or folder changes: data, append, attributes, deletion, list, owner, and the
# generic ones.
_CHANGING: Final = 0x2 | 0x4 | 0x10 | 0x40 | 0x100 | 0x10000 | 0x40000 | 0x80000 | 0x50000000
_TEXT: Final = re.compile(
    r"(?:O:(?P<owner>S-[0-9-]+|[A-Z]{2}))?"
    r"(?:G:(?:S-[0-9-]+|[A-Z]{2}))?"
    r"(?:D:(?P<flags>[A-Z_]*)(?P<entries>(?:\([^()]*\))*))?"
    r"(?:S:.*)?"
)
_INHERITED: Final = "ID"
_NOBODY_ASKED: Final = "NO_ACCESS_CONTROL"  # a list that is not there lets everybody in


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a list.

    Attributes:
        kind: ``A`` allows, ``D`` denies; others are kept as they are.
        flags: How it is handed down, such as ``OICI``.
        rights: An access mask.
        trustee: A SID, never its short name.
    """

    kind: str = "A"
    flags: str = ""
    rights: int
    trustee: str

    @property
    def changes(self) -> bool:
        """Whether it lets its trustee change what it protects."""
        return self.kind == "A" and bool(self.rights & _CHANGING)

    @property
    def text(self) -> str:
        """The entry as SDDL."""
        rights = "FA" if self.rights == FULL else f"0x{self.rights:x}"
        who = _SHORT.get(self.trustee, self.trustee)
        return f"({self.kind};{self.flags};{rights};;;{who})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessList:
    """Who owns something, and who may do what with it.

    Attributes:
        owner: A SID; ``None`` where it does not matter.
        protected: Whether nothing is inherited from the folder above.
    """

    owner: str | None = None
    protected: bool = False
    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, text: str) -> Self:
        """Read SDDL.

        Raises:
            ValueError: If it is none.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"no access list: {text!r}")
        owner, flags = match["owner"], match["flags"]
        entries = tuple(_entries(match["entries"] or ""))
        if flags is None or _NOBODY_ASKED in flags:
            entries = (Entry(rights=FULL, trustee=_ALIASES["WD"]),)
        return cls(
            owner=None if owner is None else _sid(owner),
            protected="P" in (flags or "").replace(_NOBODY_ASKED, ""),
            entries=entries,
        )

    @property
    def text(self) -> str:
        """The list as SDDL."""
        owner = "" if self.owner is None else f"O:{_SHORT.get(self.owner, self.owner)}"
        flags = "PAI" if self.protected else ""
        return f"{owner}D:{flags}{''.join(entry.text for entry in self.entries)}"

    def same_as(self, other: "AccessList") -> bool:
        """Whether both mean the same: the order of what only allows makes no difference."""
        return (
            self.owner == other.owner
            and self.protected == other.protected
            and set(self.entries) == set(other.entries)
        )

    def trustees(self, *, changing: bool = False) -> frozenset[str]:
        """Return who is let in, or only who may change what it protects."""
        return frozenset(
            entry.trustee
            for entry in self.entries
            if (entry.changes if changing else entry.kind != "D")
        )


def _entries(text: str) -> Iterator[Entry]:
    for line in re.findall(r"\(([^()]*)\)", text):
        fields = [*line.split(";"), "", "", "", "", "", ""]
        kind, flags, rights, _, _, who, *_ = fields
        pairs = re.findall("..", flags)
        yield Entry(
            kind=kind,
            flags="".join(pair for pair in pairs if pair != _INHERITED),
            rights=_mask(rights),
            trustee=_sid(who),
        )


def _mask(rights: str) -> int:
    if rights.startswith("0x"):
        return int(rights, 16)
    mask = 0
    for pair in re.findall("..", rights):
        mask |= _RIGHTS.get(pair, FULL)  # what is not known is taken for the worst
    return mask


def _sid(name: str) -> str:
    return _ALIASES.get(name, name)
