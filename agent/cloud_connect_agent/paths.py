"""Where the agent keeps its files: configuration, state and logs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cloud_connect_agent.durable import make_private_dir
from cloud_connect_agent.ownership import check_folders

__all__ = ["AgentPaths"]

_APP = "cloud-connect"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPaths:
    """The folders of one agent and the files in them.

    Attributes:
        home: The folder given with ``--home``; ``None`` for the platform's own folders.
    """

    config_dir: Path
    state_dir: Path
    log_dir: Path
    home: Path | None = None

    @classmethod
    def of(cls, home: Path | None) -> Self:
        """Return the paths below *home*, or else in the platform's own folders."""
        if home is not None:
            root = home.absolute()
            return cls(config_dir=root, state_dir=root / "state", log_dir=root / "logs", home=root)
        import platformdirs

        return cls(
            config_dir=platformdirs.user_config_path(_APP, appauthor=False),
            state_dir=platformdirs.user_state_path(_APP, appauthor=False) / "state",
            log_dir=platformdirs.user_log_path(_APP, appauthor=False),
        )

    @property
    def config_file(self) -> Path:
        """Settings, written by ``enrol`` and by people."""
        return self.config_dir / "agent.toml"

    @property
    def policy_file(self) -> Path:
        """What this PC lets through."""
        return self.config_dir / "policy.toml"

    @property
    def approvals_file(self) -> Path:
        """What the PC's administrator decided on first uses; the agent never writes it."""
        return self.config_dir / "approvals.json"

    @property
    def waiting_file(self) -> Path:
        """First uses that wait for the PC's administrator."""
        return self.state_dir / "waiting.json"

    @property
    def decisions_file(self) -> Path:
        """What the policy decided lately, without data."""
        return self.state_dir / "decisions.sqlite3"

    @property
    def vault_dir(self) -> Path:
        """Sealed secrets."""
        return self.state_dir / "vault"

    @property
    def vault_key_file(self) -> Path:
        """The key that opens the vault."""
        return self.state_dir / "vault.key"

    @property
    def journal_file(self) -> Path:
        """The record of calls."""
        return self.state_dir / "journal.sqlite3"

    @property
    def audit_dir(self) -> Path:
        """Who had this PC do what, and what it decided."""
        return self.state_dir / "audit"

    @property
    def spool_dir(self) -> Path:
        """Files on their way to Procore that have to be known as a whole first."""
        return self.state_dir / "spool"

    @property
    def metadata_dir(self) -> Path:
        """Versions of the companies' fields, and which of them calls use."""
        return self.state_dir / "metadata"

    @property
    def generation_file(self) -> Path:
        """The counter that tells this agent from a copy of its disk."""
        return self.state_dir / "generation"

    @property
    def key_age_file(self) -> Path:
        """Since when the agent uses its key."""
        return self.state_dir / "key-age"

    @property
    def pause_file(self) -> Path:
        """There while an administrator has paused the agent: since when, and for how long."""
        return self.state_dir / "pause.json"

    @property
    def format_file(self) -> Path:
        """Which format the files here have."""
        return self.state_dir / "format"

    def kept_dir(self, number: int) -> Path:
        """What a migration from format *number* changed, as it was before."""
        return self.state_dir / f"kept-format-{number}"

    @property
    def run_lock_file(self) -> Path:
        """Held while an agent runs on these folders."""
        return self.state_dir / "run.lock"

    @property
    def control_socket(self) -> Path:
        """Where a running agent answers the command line."""
        return self.state_dir / "control.sock"

    @property
    def log_file(self) -> Path:
        """The newest log; older ones stand beside it, numbered from ``.1`` on."""
        return self.log_dir / "agent.log"

    def create(self) -> None:
        """Create the folders that are missing, for the running account only.

        Raises:
            ConfigurationError: If what is there already is not to be trusted.
        """
        self._check()  # what is made below must not be made in somebody else's folder
        for folder in (self.config_dir, self.state_dir, self.log_dir):
            make_private_dir(folder)
        self._check()

    def _check(self) -> None:
        check_folders(self.config_dir, private=(self.state_dir, self.log_dir))
