"""Accounts: the identities that this PC has at Procore, and which of them a call uses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from cloud_connect.calls import Environment
from cloud_connect.errors import ConfigurationError

__all__ = [
    "DEFAULT_ACCOUNT",
    "STATE_WORDS",
    "Account",
    "AccountBook",
    "AccountSection",
    "AccountSettings",
]

# How an account stands, as people read it.
STATE_WORDS: Final = {
    "ready": "signed in",
    "sign_in_required": "sign-in needed",
    "no_grant": "app stored, not signed in",
    "at_risk": "signed in, but renewal fails",
}
DEFAULT_ACCOUNT: Final = "default"  # there without being set up, and used where no other is bound


class AccountSettings(Protocol):
    """What ``[procore.environments.NAME.accounts.ACCOUNT]`` of ``agent.toml`` may say."""

    @property
    def companies(self) -> tuple[int, ...]:
        """The companies whose calls use the account."""
        ...

    @property
    def login(self) -> str | None:
        """Whom it has to act for, once somebody signs in."""
        ...


class AccountSection(Protocol):
    """The part of an environment's section that is about accounts."""

    @property
    def accounts(self) -> Mapping[str, AccountSettings]:
        """The accounts by name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One identity at one environment.

    Attributes:
        companies: Whose calls use it; empty for an account that no company is bound to.
        login: Whom it has to act for; ``None`` is whoever signs in.
    """

    environment: Environment
    name: str = DEFAULT_ACCOUNT
    companies: tuple[int, ...] = ()
    login: str | None = None

    @property
    def is_default(self) -> bool:
        """Whether it is the environment's default account."""
        return self.name == DEFAULT_ACCOUNT

    @property
    def key(self) -> str:
        """Its part of names in the vault; the default account has the environment's alone."""
        flag = self.environment.flag
        return flag if self.is_default else f"{flag}.{self.name}"

    @property
    def label(self) -> str:
        """How sentences name it."""
        flag = self.environment.flag
        return flag if self.is_default else f"account {self.name} of {flag}"

    @property
    def options(self) -> str:
        """The options that name it on a command line."""
        options = f"--environment {self.environment.flag}"
        return options if self.is_default else f"{options} --account {self.name}"

    def login_command(self, grant: str) -> str:
        """Return the command that signs it in, as sentences show it.

        Args:
            grant: Always named: the command's default ends the grant of a person.
        """
        return f"`cloud-connect procore login {self.options} --grant {grant}`"


class AccountBook:
    """The accounts that the settings name, as they are at the moment."""

    def __init__(self, sections: Callable[[], Mapping[str, AccountSection]]) -> None:
        self._sections: Final = sections
        self._serving: Final[dict[tuple[Environment, int | None], tuple[object, Account]]] = {}

    def of(self, environment: Environment) -> tuple[Account, ...]:
        """Return an environment's accounts, the default one first."""
        section = self._sections().get(environment.flag)
        known = {} if section is None else section.accounts
        names = [DEFAULT_ACCOUNT, *sorted(set(known) - {DEFAULT_ACCOUNT})]
        return tuple(
            Account(
                environment=environment,
                name=name,
                companies=known[name].companies if name in known else (),
                login=known[name].login if name in known else None,
            )
            for name in names
        )

    def all(self) -> tuple[Account, ...]:
        """Return the accounts of every environment."""
        return tuple(account for environment in Environment for account in self.of(environment))

    def named(self, environment: Environment, name: str) -> Account:
        """Return an account.

        Raises:
            ConfigurationError: If the settings know none of this name.
        """
        for account in self.of(environment):
            if account.name == name:
                return account
        raise ConfigurationError(
            f"There is no account {name!r} for {environment.flag}; `cloud-connect procore app "
            f"--environment {environment.flag} --account {name}` makes it."
        )

    def serving(self, environment: Environment, company_id: int | None) -> Account:
        """Return the account that the company is bound to, else the default one."""
        section = self._sections().get(environment.flag)
        known = self._serving.get((environment, company_id))
        if known is not None and known[0] is section:
            return known[1]
        accounts = self.of(environment)
        bound = (account for account in accounts if company_id in account.companies)
        account = next(bound, accounts[0])
        if len(self._serving) >= _MAX_REMEMBERED:
            self._serving.clear()
        self._serving[environment, company_id] = (section, account)
        return account


_MAX_REMEMBERED: Final = 1000  # companies; callers choose them, so they are no bound
