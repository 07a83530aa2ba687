"""Accounts and access lists: the calls to Windows, and nothing that decides.

What is decided stands in ``windows_access``, in text; here it is handed to Windows and read back.
Imported anywhere, called on Windows only.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.hosting.windows_access import ADMINISTRATORS
from cloud_connect_agent.hosting.windows_sddl import AccessList

if TYPE_CHECKING:
    import _win32typing

__all__ = [
    "access_of",
    "attributes_of",
    "is_administrator",
    "make_folder",
    "own_account",
    "owner_of_handle",
    "set_access",
    "windows_errors",
]

_NOT_FOUND: Final = frozenset({2, 3})  # ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND


@contextlib.contextmanager
def windows_errors(what: str) -> Iterator[None]:
    """Turn errors of Windows into a sentence: it cannot *what*, and why."""
    import pywintypes

    try:
        yield
    except pywintypes.error as exc:
        raise CloudConnectError(
            f"Windows did not {what}: {exc.strerror.strip().rstrip('.')} (error {exc.winerror})."
        ) from exc


def own_account() -> str:
    """Return the SID of the account that runs this process."""
    import win32api
    import win32security

    with windows_errors("say which account this is"):
        token = win32security.OpenProcessToken(
            win32api.GetCurrentProcess(), win32security.TOKEN_QUERY
        )
        user, _ = win32security.GetTokenInformation(token, win32security.TokenUser)
        return win32security.ConvertSidToStringSid(user)


def is_administrator() -> bool:
    """Whether this process has an administrator's rights, or the system's."""
    import win32security

    with windows_errors("say whether this is an administrator"):
        administrators = win32security.ConvertStringSidToSid(ADMINISTRATORS)
        # None is a handle too: the caller's own token.
        return bool(win32security.CheckTokenMembership(None, administrators))  # type: ignore[arg-type] # the stub knows ints only


def access_of(path: str) -> AccessList | None:
    """Return owner and list of a file or folder; ``None`` if it is not there.

    Raises:
        CloudConnectError: If Windows does not tell.
    """
    import pywintypes
    import win32security as security

    which = security.OWNER_SECURITY_INFORMATION | security.DACL_SECURITY_INFORMATION
    with windows_errors(f"tell who may use {path}"):
        try:
            found = security.GetNamedSecurityInfo(path, security.SE_FILE_OBJECT, which)
        except pywintypes.error as exc:
            if exc.winerror in _NOT_FOUND:
                return None
            raise
        return AccessList.of(
            security.ConvertSecurityDescriptorToStringSecurityDescriptor(
                found, security.SDDL_REVISION_1, which
            )
        )


def set_access(path: str, access: AccessList) -> None:
    """Give a file or folder this list, and its owner if one is named.

    Raises:
        CloudConnectError: If Windows refuses.
    """
    import win32security as security

    with windows_errors(f"change who may use {path}"):
        descriptor = _descriptor(access)
        which = security.DACL_SECURITY_INFORMATION
        if access.protected:
            which |= security.PROTECTED_DACL_SECURITY_INFORMATION
        owner = None
        if access.owner is not None:
            which |= security.OWNER_SECURITY_INFORMATION
            owner = descriptor.GetSecurityDescriptorOwner()
        security.SetNamedSecurityInfo(
            path,
            security.SE_FILE_OBJECT,
            which,
            owner,
            None,
            descriptor.GetSecurityDescriptorDacl(),
            None,
        )


def make_folder(path: str, access: AccessList) -> None:
    """Make a folder that is never without its list.

    Raises:
        CloudConnectError: If Windows refuses.
    """
    import win32file

    with windows_errors(f"make the folder {path}"):
        win32file.CreateDirectory(path, attributes_of(access))


def attributes_of(access: AccessList) -> "_win32typing.PySECURITY_ATTRIBUTES":
    """Return what a call that makes something takes, for *access*."""
    import win32security

    attributes = win32security.SECURITY_ATTRIBUTES()
    attributes.SECURITY_DESCRIPTOR = _descriptor(access)
    return attributes


def owner_of_handle(handle: int) -> str:
    """Return the SID of the account that made what an open handle stands for."""
    import win32security as security

    found = security.GetSecurityInfo(
        handle, security.SE_KERNEL_OBJECT, security.OWNER_SECURITY_INFORMATION
    )
    return security.ConvertSidToStringSid(found.GetSecurityDescriptorOwner())


def _descriptor(access: AccessList) -> "_win32typing.PySECURITY_DESCRIPTOR":
    import win32security as security

    return security.ConvertStringSecurityDescriptorToSecurityDescriptor(
        access.text, security.SDDL_REVISION_1
    )
