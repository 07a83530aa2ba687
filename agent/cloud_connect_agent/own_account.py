"""Which account this process runs as, by number: a notion of POSIX."""

import os
import sys

__all__ = ["own_gid", "own_uid"]

if sys.platform == "win32":

    def own_uid() -> int:
        """Return what every file's owner is on Windows, where SIDs and lists say who owns it."""
        return 0

    def own_gid() -> int:
        """Return what every file's group is on Windows."""
        return 0

else:

    def own_uid() -> int:
        """Return the number of the account whose rights this process has."""
        return os.geteuid()

    def own_gid() -> int:
        """Return the number of the group whose rights this process has."""
        return os.getegid()
