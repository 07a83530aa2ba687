"""What people read covers all that there is."""

from typing import get_args

from cloud_connect.calls import Environment, ReportedGrant
from cloud_connect.query import Operator
from cloud_connect_relay.console.accounts import ACCOUNT_TEXTS, ENVIRONMENT_TEXTS
from cloud_connect_relay.console.conditions import any_operators
from cloud_connect_relay.console.people import ROLE_TEXTS
from cloud_connect_relay.console.scope_texts import SCOPE_TEXTS
from cloud_connect_relay.credentials import ROLES, SCOPES


def test_every_scope_and_role_has_words() -> None:
    assert {scope for scope, _ in SCOPE_TEXTS} == SCOPES
    assert {role for role, _, _ in ROLE_TEXTS} == set(ROLES)


def test_every_environment_and_state_of_an_account_has_words() -> None:
    assert set(ENVIRONMENT_TEXTS) == set(Environment)
    assert set(ACCOUNT_TEXTS) == set(get_args(ReportedGrant.model_fields["state"].annotation))


def test_every_operator_has_words() -> None:
    assert set(any_operators()) == set(Operator)
