"""The options that describe a call to ask the policy about."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Final

import click

from cloud_connect.calls import Environment
from cloud_connect_agent.cli.environments import environment_option
from cloud_connect_agent.cli.invocation import Invocation
from cloud_connect_agent.cli.policy_loading import (
    current_policy,
    document_of,
    rules_of,
    unknown,
)

if TYPE_CHECKING:
    from cloud_connect_agent.policy import Access, Policy

__all__ = ["Asked", "Question", "call_options", "question_of"]

_OPERATIONS: Final = {
    "test": "test",
    "tree": "read",
    "query": "read",
    "read": "read",
    "list": "read",
    "get": "read",
    "create": "create",
    "update": "update",
    "delete": "delete",
    "passthrough": "passthrough_read",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call, and the policy that is asked about it."""

    access: "Access"
    policy: "Policy"
    at: datetime


def _point_in_time(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError as exc:
        raise click.BadParameter(
            "Write it as 2026-11-27T08:30, with an offset if need be."
        ) from exc
    return at.astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call, as the options describe it.

    Attributes:
        at: When it would come; ``None`` is now.
    """

    operation: str
    resource: str | None
    environment: Environment
    company: int | None
    project: int | None
    path: str | None
    method: str
    fields: tuple[str, ...]
    at: datetime | None


_OPTIONS: Final = (
    click.option("--operation", type=click.Choice(list(_OPERATIONS)), required=True),
    click.option("--resource", metavar="NAME", help="Such as rfis."),
    environment_option(required=False, default="live"),
    click.option("--company", type=click.IntRange(1), metavar="ID"),
    click.option("--project", type=click.IntRange(1), metavar="ID"),
    click.option("--path", metavar="PATH", help="Of a pass-through call, from rest/ on."),
    click.option("--method", default="GET", show_default=True, help="Of a pass-through call."),
    click.option("--field", "fields", multiple=True, metavar="NAME", help="That the call writes."),
    click.option("--at", callback=_point_in_time, metavar="TIME", help="When, if not now."),
)


def call_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options of a call, which the command gets as one :class:`Asked`."""

    @wraps(function)
    def collected(*args: object, **options: object) -> int:
        asked = Asked(**{one.name: options.pop(one.name) for one in fields(Asked)})  # type: ignore[arg-type]  # as click converts them
        return function(*args, asked=asked, **options)

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected


def question_of(invocation: Invocation, asked: Asked) -> Question:
    """Make the question that the options ask.

    Raises:
        click.UsageError: If the policy could not answer it.
    """
    from cloud_connect_agent.policy import Access, Verb

    at = asked.at or datetime.now(UTC)
    current = current_policy(invocation, at)
    rules = rules_of(document_of(current))
    if asked.company is None and any(rule.companies for rule in rules):
        raise click.UsageError("The policy tells companies apart; name one with --company.")
    if asked.resource is not None and (problem := unknown(asked.resource)):
        raise click.UsageError(problem)
    verb = Verb(_OPERATIONS[asked.operation])
    if verb is Verb.PASSTHROUGH_READ and asked.method.upper() not in {"GET", "HEAD"}:
        verb = Verb.PASSTHROUGH_WRITE
    access = Access(
        verb=verb,
        environment=asked.environment,
        company_id=asked.company or 0,
        project_id=asked.project,
        resource=None if verb.raw else asked.resource,
        path=asked.path if verb.raw else None,
        fields=frozenset(asked.fields),
    )
    return Question(access=access, policy=current, at=at)
