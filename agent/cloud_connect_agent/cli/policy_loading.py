"""The policy file as the command line reads it, and what is odd about it."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cloud_connect.errors import ConfigurationError, InvalidRequestError
from cloud_connect_agent.cli.invocation import Invocation

if TYPE_CHECKING:
    from cloud_connect_agent.policy import Policy, PolicyDocument, Rule

__all__ = ["administered", "current_policy", "document_of", "rules_of", "unknown", "warnings_of"]


def administered(invocation: Invocation) -> bool:
    """Whether the files must be the administrator's; with settings that are wrong, they must."""
    try:
        return invocation.settings().policy.owner == "administrator"
    except ConfigurationError:
        return True


def current_policy(invocation: Invocation, at: datetime | None = None) -> "Policy":
    """Read the policy file as the agent does.

    Args:
        at: The point in time to decide for; ``None`` is now.
    """
    from cloud_connect_agent.policy_file import PolicyFile

    return PolicyFile(
        invocation.paths.policy_file,
        administered=administered(invocation),
        now=lambda: at or datetime.now(UTC),
    ).current()


def document_of(policy: "Policy") -> "PolicyDocument | None":
    """Return what the file says; ``None`` if it cannot be used."""
    from cloud_connect_agent.policy_file import DatedPolicy

    return policy.document if isinstance(policy, DatedPolicy) else None


def rules_of(document: "PolicyDocument | None") -> "tuple[Rule, ...]":
    """Return the rules, none of a file that cannot be used."""
    return document.rules if document is not None else ()


def unknown(name: str) -> str | None:
    """Return what is wrong with the name of a resource; ``None`` if there is such a table."""
    from cloud_connect_agent.procore.catalog import load_catalog

    try:
        load_catalog().resource(name)
    except InvalidRequestError as error:
        return error.message
    return None


def warnings_of(document: "PolicyDocument | None") -> list[str]:
    """Return what is allowed to be, and hardly meant."""
    from cloud_connect_agent.policy.explaining import overshadowed

    if document is None:
        return []
    found = [
        f"Rule {rule.id} covers nothing by “{name[:64]}”. {problem}"
        for rule in document.rules
        for name in sorted(rule.resources or ())
        if (problem := unknown(name))
    ]
    found += [
        f"Rule {rule} refuses nothing: rule {above}, above it, matches first and allows it. Put "
        f"rule {rule} above."
        for rule, above in overshadowed(document)
    ]
    return found
