"""Where the relay keeps its files: one private folder."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from cloud_connect.errors import ConfigurationError

__all__ = ["RelayPaths", "default_data_dir"]


def default_data_dir() -> Path:
    """Return the platform's own folder for the relay's data."""
    return Path(platformdirs.user_data_dir("cloud-connect-relay", appauthor=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPaths:
    """The files of one relay, all in its data folder."""

    data_dir: Path

    @property
    def database(self) -> Path:
        """The SQLite file, unless the settings name another database."""
        return self.data_dir / "relay.sqlite3"

    @property
    def key_file(self) -> Path:
        """The relay's Ed25519 signing key, which join tokens pin."""
        return self.data_dir / "relay.key"

    @property
    def pepper_file(self) -> Path:
        """What stored hashes of keys are useless without."""
        return self.data_dir / "relay.pepper"

    @property
    def lock_file(self) -> Path:
        """Held by the process that serves a store of this folder."""
        return self.data_dir / "relay.lock"

    @property
    def settings_file(self) -> Path:
        """The settings, as TOML; it may be missing."""
        return self.data_dir / "relay.toml"

    def prepare(self) -> None:
        """Create the folder if it is missing, for this account alone.

        Raises:
            ConfigurationError: If it cannot be created or used.
        """
        try:
            missing = not self.data_dir.exists()
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if missing:
                self.data_dir.chmod(0o700)  # whatever the umask says
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {self.data_dir} cannot be created ({error.strerror});"
                " choose another with --data-dir."
            ) from error
        if not self.data_dir.is_dir() or not os.access(self.data_dir, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"The data folder {self.data_dir} is not writable by this account;"
                " choose another with --data-dir."
            )

    def write_secret(self, path: Path, content: bytes) -> None:
        """Write a new file that only this account can read, durably; never over an old one.

        Raises:
            FileExistsError: If there is one.
        """
        draft = path.with_name(f"{path.name}.new")
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(draft, path)  # unlike a rename, it fails when the file exists
        finally:
            draft.unlink()
        if os.name == "posix":  # elsewhere a folder cannot be opened
            folder = os.open(self.data_dir, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
