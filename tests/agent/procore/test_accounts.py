"""Which account a call uses, and what the vault calls its secrets."""

import pytest

from cloud_connect.calls import Environment
from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.procore.grants.accounts import Account, AccountBook
from cloud_connect_agent.procore.tokens import app_secret_name, token_secret_name
from cloud_connect_agent.settings import AccountSettings, EnvironmentSettings

LIVE = Environment.LIVE


def book(**accounts: AccountSettings) -> AccountBook:
    sections = {"live": EnvironmentSettings(accounts=accounts)}
    return AccountBook(lambda: sections)


def test_the_default_account_keeps_the_names_that_vaults_have() -> None:
    account = Account(environment=Environment.MONTHLY_SANDBOX)
    assert app_secret_name(account) == "procore-app/monthly-sandbox"
    assert token_secret_name(account) == "procore-token/monthly-sandbox"
    named = Account(environment=Environment.MONTHLY_SANDBOX, name="acme")
    assert token_secret_name(named) == "procore-token/monthly-sandbox.acme"


def test_a_company_is_served_by_the_account_that_it_is_bound_to() -> None:
    accounts = book(acme=AccountSettings(companies=(1, 2)), default=AccountSettings(login="a@b"))
    assert accounts.serving(LIVE, 2).name == "acme"
    assert accounts.serving(LIVE, 2).name == "acme"  # remembered
    assert accounts.serving(LIVE, 3).login == "a@b"
    assert accounts.serving(LIVE, None).is_default
    assert accounts.serving(Environment.DEVELOPER_SANDBOX, 2).is_default


def test_a_change_of_the_settings_takes_effect_at_once() -> None:
    sections = {"live": EnvironmentSettings()}
    accounts = AccountBook(lambda: sections)
    assert accounts.serving(LIVE, 1).is_default
    sections["live"] = EnvironmentSettings(accounts={"acme": AccountSettings(companies=(1,))})
    assert accounts.serving(LIVE, 1).name == "acme"


def test_what_is_remembered_is_bounded() -> None:
    accounts = book()
    for company in range(2500):
        accounts.serving(LIVE, company)
    assert len(accounts._serving) <= 1000


def test_an_unknown_account_is_told_with_the_command_that_makes_it() -> None:
    accounts = book(acme=AccountSettings())
    assert accounts.named(LIVE, "acme").label == "account acme of live"
    with pytest.raises(ConfigurationError, match="procore app --environment live --account other"):
        accounts.named(LIVE, "other")


def test_all_accounts_are_listed_the_default_ones_first() -> None:
    found = [(one.environment, one.name) for one in book(acme=AccountSettings()).all()]
    assert found == [
        (LIVE, "default"),
        (LIVE, "acme"),
        (Environment.MONTHLY_SANDBOX, "default"),
        (Environment.DEVELOPER_SANDBOX, "default"),
    ]
