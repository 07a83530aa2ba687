"""The folder of an agent that runs as a service: whose it is, and how an enrolled agent gets there.

The folder is root's, the service's account may add files (sticky, so that it changes its own only),
the policy is root's, and state and logs are the account's alone.
"""

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cloud_connect.errors import ConfigurationError, VaultLockedError
from cloud_connect.services import Finding, Step
from cloud_connect.services.acts import Act
from cloud_connect.services.host import Host
from cloud_connect.services.steps import Folder, GiveFile, GiveTree, MoveFile
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import load_settings
from cloud_connect_agent.vault.choosing import recorded_kind
from cloud_connect_agent.vault.keys import KeyKind

__all__ = ["ServiceHome"]

_STICKY: Final = 0o1770
_PRIVATE: Final = 0o700
_SHARED_FILE: Final = 0o640
_OWN_FILE: Final = 0o600
_OF_A_PERSON: Final = (KeyKind.SECRET_SERVICE, KeyKind.KEYCHAIN)


class ServiceHome:
    """What the agent's service keeps.

    Args:
        name: Of the service's account.
        adopt: Folder of an enrolled agent that moves here.
        command: What people type for the agent's commands.
    """

    def __init__(
        self, *, host: Host, name: str, home: Path, adopt: Path | None, command: str
    ) -> None:
        self._host: Final = host
        self._name: Final = name
        self._paths: Final = AgentPaths.of(home)
        self._command: Final = command
        self._source: Final = None if adopt is None else _source(adopt)

    @property
    def ready(self) -> bool:
        """Whether the agent is enrolled, here or where it moves from."""
        return self._enrolled(self._paths) or self._moves

    @property
    def _moves(self) -> bool:
        return self._source is not None and self._enrolled(self._source)

    def lacks(self) -> str | None:
        """Say that the agent is not enrolled, where that can be told."""
        if self.ready or self._fault(self._paths) is not None:
            return None
        return f"Not enrolled: run `{self._command} enrol --relay URL`."

    def vault_kind(self) -> KeyKind | None:
        """Return what keeps the key of the vault that is there, or comes along.

        Raises:
            ConfigurationError: If that cannot be told.
        """
        for paths in (self._source, self._paths):
            if paths is not None:
                try:
                    kind = recorded_kind(self._found(paths))
                except VaultLockedError as exc:
                    raise ConfigurationError(exc.message) from exc
                if kind is not None:
                    return kind
        return None

    def refusals(self) -> Sequence[str]:
        """Say why the folder cannot be used as it is."""
        found = []
        if self._fault(self._paths) is not None:
            found.append(f"{self._fault(self._paths)}")
        if not self._is_the_accounts(self._paths) and self._runs(self._paths):
            found.append(f"An agent runs on {self._paths.config_dir}; stop it first.")
        if self._source is not None and not self._enrolled(self._paths):
            found += self._faults_of(self._source)
        elif self._moves:
            found.append(
                f"An agent is enrolled in {self._paths.config_dir} already; unenrol that one or "
                "this one, or give this one a service of its own with --name."
            )
        return found

    def steps(self) -> Sequence[Step]:
        """Make the folders, and move what moves."""
        host, name, paths = self._host, self._name, self._paths
        home = Folder(host=host, path=paths.config_dir, owner="root", group=name, mode=_STICKY)
        return [
            home,
            *self._moving(),
            Folder(host=host, path=paths.state_dir, owner=name, mode=_PRIVATE),
            Folder(host=host, path=paths.log_dir, owner=name, mode=_PRIVATE),
        ]

    def before_start(self) -> Sequence[Step]:
        """Give policy and approvals to root, and to the account what it has to read and write."""
        host, name, paths = self._host, self._name, self._paths
        steps: list[Step] = [
            GiveTree(host=host, path=paths.state_dir, owner=name),
            GiveTree(host=host, path=paths.log_dir, owner=name),
            GiveFile(
                host=host, path=paths.policy_file, owner="root", group=name, mode=_SHARED_FILE
            ),
            GiveFile(
                host=host, path=paths.approvals_file, owner="root", group=name, mode=_SHARED_FILE
            ),
        ]
        if self._moves or not self._reads(paths.config_file):
            steps.append(
                GiveFile(host=host, path=paths.config_file, owner=name, group=name, mode=_OWN_FILE)
            )
        return steps

    def lent(self) -> Sequence[Step]:
        """Give policy and approvals to the account, which is to replace them by a backup's."""
        name, paths = self._name, self._paths
        return [
            GiveFile(host=self._host, path=file, owner=name, group=name, mode=_OWN_FILE)
            for file in (paths.policy_file, paths.approvals_file)
        ]

    def advice(self) -> Sequence[str]:
        """Say what a person does next."""
        if self.ready:
            return [f"See how it fares: `{self._command} status`."]
        return [
            (
                "This PC is not enrolled yet. Next, with a join token of the relay's people:\n"
                f"  {self._command} enrol --relay https://relay.example.com"
            )
        ]

    def farewell(self) -> Sequence[str]:
        """Say what is still to do elsewhere once all is removed."""
        if not self._enrolled(self._paths):
            return []
        relay = load_settings(self._host.at(self._paths.config_file)).relay
        return [
            (
                f"{relay.url} still lists {relay.connector_id}, as offline: revoke it there. "
                f"(`{self._command} unenrol` before would have done that.)"
            )
        ]

    def findings(self) -> Sequence[Finding]:
        """Read back the folder, and whose the policy is."""
        folders, gifts = self.steps(), self.before_start()
        wrong = [step for step in (*folders, *gifts) if step.needed]
        found = [
            Finding(
                name="folder",
                status="FAIL" if wrong else "PASS",
                cause=(
                    f"{wrong[0].sentence}: that is still to do."
                    if wrong
                    else f"{self._paths.config_dir} and its files belong to whom they should."
                ),
                fix="Run `service start`, which puts that right." if wrong else None,
            )
        ]
        fault = self._fault(self._paths)
        if fault is not None:
            found.append(Finding(name="settings", status="FAIL", cause=fault))
        elif self.ready:
            found.append(Finding(name="settings", status="PASS", cause="The agent is enrolled."))
        else:
            found.append(
                Finding(
                    name="settings",
                    status="WARN",
                    cause="The agent is not enrolled yet.",
                    fix=f"Run `{self._command} enrol --relay https://relay.example.com`.",
                )
            )
        return found

    def _moving(self) -> list[Step]:
        source, paths, host = self._source, self._paths, self._host
        if source is None:
            return []
        pairs = [
            *(
                (entry, paths.config_dir / entry.name)
                for entry in self._entries(source)
                if entry not in {source.state_dir, source.log_dir}
            ),
            (source.state_dir, paths.state_dir),
            (source.log_dir, paths.log_dir),
        ]
        emptied = host.at(source.config_dir)
        return [
            *(MoveFile(host=host, source=old, target=new) for old, new in pairs),
            Act(
                purpose=f"Remove the empty folder {source.config_dir}",
                what=emptied.rmdir,
                when=lambda: emptied.is_dir() and not any(emptied.iterdir()),
            ),
        ]

    def _entries(self, source: AgentPaths) -> list[Path]:
        found = self._host.at(source.config_dir)
        names = sorted(path.name for path in found.iterdir()) if found.is_dir() else []
        return [source.config_dir / name for name in names]

    def _faults_of(self, source: AgentPaths) -> list[str]:
        """Say why the agent in *source* cannot move."""
        fault = self._fault(source)
        if fault is not None:
            return [fault]
        if not self._enrolled(source):
            return [f"No agent is enrolled in {source.config_dir}, so there is none to move."]
        if self._runs(source):
            return [f"The agent in {source.config_dir} runs; stop it first."]
        kind = self.vault_kind()
        if kind in _OF_A_PERSON:
            return [
                (
                    f"The vault in {source.config_dir} cannot move: {kind.described}, which a "
                    "service does not have. Unenrol it there, and enrol the service."
                )
            ]
        for folder in (source.config_dir, source.state_dir, source.log_dir):
            for place, folders, files in os.walk(self._host.at(folder), followlinks=False):
                for name in (*folders, *files):
                    facts = Path(place, name).lstat()
                    doubled = stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1
                    if doubled or stat.S_ISLNK(facts.st_mode):
                        return [
                            (
                                f"{Path(place, name)} is a link, so the agent does not move; put "
                                "the file itself there."
                            )
                        ]
        return []

    def _found(self, paths: AgentPaths) -> AgentPaths:
        """Return where this process finds the files."""
        at = self._host.at
        return AgentPaths(
            config_dir=at(paths.config_dir),
            state_dir=at(paths.state_dir),
            log_dir=at(paths.log_dir),
        )

    def _enrolled(self, paths: AgentPaths) -> bool:
        try:
            return load_settings(self._host.at(paths.config_file)).relay.enrolled
        except ConfigurationError:
            return False

    def _fault(self, paths: AgentPaths) -> str | None:
        """Say what is wrong with the settings, if there are any."""
        try:
            load_settings(self._host.at(paths.config_file))
        except ConfigurationError as exc:
            return exc.message
        return None

    def _is_the_accounts(self, paths: AgentPaths) -> bool:
        account = self._host.account(self._name)
        try:
            owner = self._host.at(paths.state_dir).lstat().st_uid
        except OSError:
            return True
        return account is not None and owner == account.uid

    def _reads(self, file: Path) -> bool:
        """Whether the service's account can read the settings, so that they stay as they are."""
        account = self._host.account(self._name)
        try:
            facts = self._host.at(file).lstat()
        except OSError:
            return True
        if account is None:
            return False
        if facts.st_uid == account.uid:
            return True
        if facts.st_uid != 0:
            return False
        return bool(
            facts.st_mode & stat.S_IROTH
            or (facts.st_gid == account.gid and facts.st_mode & stat.S_IRGRP)
        )

    def _runs(self, paths: AgentPaths) -> bool:
        """Whether an agent holds the lock; nothing is made and no link is followed."""
        if sys.platform != "win32":
            import fcntl

            try:
                descriptor = os.open(
                    self._host.at(paths.run_lock_file), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                )
            except OSError:
                return False
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
            finally:
                os.close(descriptor)
        return False


def _source(folder: Path) -> AgentPaths:
    """Return the files of the agent in *folder*, which may be the platform's own place for it."""
    usual = AgentPaths.of(None)
    return usual if folder.absolute() == usual.config_dir else AgentPaths.of(folder)
