"""Who may do what on Windows: the lists of the agent's folders, key and pipe, and trusted owners.

Nothing here asks Windows: the tests hold these lists against goldens. Decisions: programs and
settings are the administrator's, state and logs the service's, and nobody else is let in at all.
"""

import hashlib
from typing import Final

from cloud_connect_agent.hosting.windows_sddl import FULL, MODIFY, READ, AccessList, Entry

__all__ = [
    "ADMINISTRATORS",
    "PIPE_CLIENT",
    "SYSTEM",
    "changers",
    "folder_access",
    "key_access",
    "owner_fault",
    "pipe_access",
    "private_folder_access",
    "service_sid",
    "services_in",
    "state_access",
    "strangers",
    "trusted_owner",
]

SYSTEM: Final = "S-1-5-18"
ADMINISTRATORS: Final = "S-1-5-32-544"
# Read and write without FILE_CREATE_PIPE_INSTANCE: who asks must not be able to answer, too.
PIPE_CLIENT: Final = 0x12019B
_SERVICES: Final = "S-1-5-80-"  # SECURITY_SERVICE_ID_BASE_RID: an administrator installed it
_HANDED_DOWN: Final = "OICI"
# Rights for whoever made or owns a file give nothing to others than those who could make it.
_PLACEHOLDERS: Final = frozenset({"S-1-3-0", "S-1-3-4"})


def service_sid(name: str) -> str:
    """Return the SID of a service's own account, which follows from its name.

    It is ``sc showsid``'s rule: SHA-1 of the name in capitals, UTF-16, as five numbers.
    """
    digest = hashlib.sha1(name.upper().encode("utf-16-le"), usedforsecurity=False).digest()
    numbers = (int.from_bytes(digest[at : at + 4], "little") for at in range(0, 20, 4))
    return f"{_SERVICES}{'-'.join(str(number) for number in numbers)}"


def folder_access(service: str) -> AccessList:
    """Return the list of a service's folder: settings and policy, which it only reads.

    Args:
        service: The SID of the service.
    """
    return _folder(Entry(flags=_HANDED_DOWN, rights=READ, trustee=service))


def state_access(service: str) -> AccessList:
    """Return the list of the folders that a service writes: state and logs."""
    return _folder(Entry(flags=_HANDED_DOWN, rights=MODIFY, trustee=service))


def private_folder_access(account: str) -> AccessList:
    """Return the list of a folder that a person's own agent makes in a place open to others."""
    return _folder(Entry(flags=_HANDED_DOWN, rights=FULL, trustee=account), owner=account)


def _folder(account: Entry, *, owner: str = ADMINISTRATORS) -> AccessList:
    return AccessList(
        owner=owner,
        protected=True,
        entries=(
            Entry(flags=_HANDED_DOWN, rights=FULL, trustee=SYSTEM),
            Entry(flags=_HANDED_DOWN, rights=FULL, trustee=ADMINISTRATORS),
            account,
        ),
    )


def key_access(*accounts: str) -> AccessList:
    """Return the list of the vault's key: DPAPI by machine opens it to whoever may read it."""
    others = sorted({*accounts} - {SYSTEM, ADMINISTRATORS})
    return AccessList(
        protected=True,
        entries=tuple(
            Entry(rights=FULL if who in {SYSTEM, ADMINISTRATORS} else MODIFY, trustee=who)
            for who in (SYSTEM, ADMINISTRATORS, *others)
        ),
    )


def pipe_access(server: str) -> AccessList:
    """Return the list of the control pipe.

    Args:
        server: The SID of the account that the agent runs as.
    """
    clients = [who for who in (SYSTEM, ADMINISTRATORS) if who != server]
    return AccessList(
        owner=server,  # or else an administrator's group, or what Windows takes for the owner
        protected=True,
        entries=(
            Entry(rights=FULL, trustee=server),
            *(Entry(rights=PIPE_CLIENT, trustee=who) for who in clients),
        ),
    )


def trusted_owner(owner: str | None, *, own: str) -> bool:
    """Whether what belongs to *owner* was made by the system, an administrator, a service or us."""
    if owner is None:
        return False
    return owner in {SYSTEM, ADMINISTRATORS, own} or owner.startswith(_SERVICES)


def owner_fault(path: str, access: AccessList, *, own: str) -> str | None:
    """Say why a folder that is there already is not taken over; ``None`` if it may be.

    Every account may make folders below ``%ProgramData%``: one that was made there beforehand
    keeps its maker's rights to all that is put into it.
    """
    if trusted_owner(access.owner, own=own):
        return None
    return (
        f"{path} is there already and belongs to another account ({access.owner or 'nobody'}). "
        "If you did not make it, find out who did; else move it away and run this again."
    )


def services_in(access: AccessList) -> frozenset[str]:
    """Return the services that a list lets in."""
    return frozenset(who for who in access.trustees() if who.startswith(_SERVICES))


def strangers(access: AccessList, *, own: str) -> frozenset[str]:
    """Return who is let in besides the system, administrators, services and *own*."""
    return frozenset(
        who
        for who in access.trustees()
        if who not in _PLACEHOLDERS and not trusted_owner(who, own=own)
    )


def changers(access: AccessList, *, own: str) -> frozenset[str]:
    """Return who could change a program besides the system, administrators and *own*."""
    return frozenset(
        who
        for who in access.trustees(changing=True)
        if who not in _PLACEHOLDERS and not trusted_owner(who, own=own)
    )
