"""The platform's calls whoever sends them: what a query asks for, what a test and a tree tell."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from cloud_connect.calls import Operation
from cloud_connect.errors import CloudConnectError, ErrorCode, InvalidRequestError
from cloud_connect.query import is_dry_run
from cloud_connect_relay.api.agent_words import understood
from cloud_connect_relay.calls.idempotency import canonical, fingerprint
from cloud_connect_relay.storage.datasources import DataSourceStatus

if TYPE_CHECKING:
    from cloud_connect_relay.access import PartnerRules
    from cloud_connect_relay.calls.answer import Answer
    from cloud_connect_relay.calls.spec import CallSpec
    from cloud_connect_relay.services import Services
    from cloud_connect_relay.storage.datasources import DataSource

__all__ = [
    "OURS",
    "TestAnswer",
    "action_of",
    "check_action",
    "failed_before_agent",
    "is_write",
    "query_spec",
    "run_test",
    "run_tree",
    "table_of",
]

_TEST_SUCCEEDED: Final = "Connection test succeeded"  # the platform shows exactly this
# These are the relay's own to tell, not the source's or the agent's.
OURS: Final = frozenset(
    {
        ErrorCode.IDEMPOTENCY_CONFLICT,
        ErrorCode.IDEMPOTENCY_MISMATCH,
        ErrorCode.INTERNAL_ERROR,
        ErrorCode.QUOTA_EXCEEDED,
    }
)
# Where a test ends that its agent did not begin, or not finish.
_STEPS: Final = {
    ErrorCode.DATA_SOURCE_INCOMPLETE: "Details",
    ErrorCode.POLICY_DENIED: "Policy",
}
_MAX_TEST_BYTES: Final = 1024 * 1024
_MAX_TREE_BYTES: Final = 4 * 1024 * 1024  # more would hold everybody else up

_READS: Final = frozenset({"select", "read"})
_INSERTS: Final = frozenset({"insert", "create"})
_WRITES: Final = _INSERTS | {"update", "delete", "remove"}


class TestAnswer(BaseModel):
    """What an agent tells of a connection test."""

    __test__ = False  # pytest takes it for a test otherwise

    model_config = ConfigDict(extra="ignore")

    success: bool
    message: str
    steps: list[dict[str, Any]] = []


def failed_before_agent(error: CloudConnectError) -> TestAnswer:
    """Return why a test did not get to its agent's steps, as the step before them."""
    name = _STEPS.get(error.code, "Connector")
    step = {"step": 0, "name": name, "status": "FAIL", "message": error.message}
    return TestAnswer(success=False, message=error.message, steps=[step])


class _Tree(BaseModel):
    """What an agent tells there is to pick from."""

    model_config = ConfigDict(extra="ignore")

    items: list[Any]


def action_of(document: dict[str, Any]) -> str:
    """Return what a query does, in its own words."""
    action = document.get("action")
    return action.strip().lower() if isinstance(action, str) else ""


def is_write(action: str) -> bool:
    """Whether a query of that action may change something."""
    return action in _WRITES


def check_action(action: str) -> None:
    """Refuse an action that is none.

    Raises:
        InvalidRequestError: Naming it, and those that there are.
    """
    if action not in _READS and action not in _WRITES:
        raise InvalidRequestError(
            f"The action “{action[:60]}” is not known; it is one of select, insert, update, delete."
        )


def table_of(document: dict[str, Any]) -> str | None:
    """Return the table that a query names."""
    info = document.get("info")
    name = info.get("name") if isinstance(info, dict) else None
    return name[:64] if isinstance(name, str) else None


def query_spec(
    spec: "CallSpec",
    document: dict[str, Any],
    *,
    key: str | None,
    coalesces: bool = True,
    on_behalf: tuple[str, ...] = (),
) -> "tuple[CallSpec, bool]":
    """Complete *spec* for a query, and tell whether it is a rehearsal.

    Args:
        spec: Of the query, with its body; it says whether it writes.
        key: Its idempotency key, if it writes and has one.
        coalesces: Whether the same insert at the same time, without a key, is the same one.
        on_behalf: The person it is for, whose write no other person's is taken for.

    Raises:
        InvalidRequestError: If the member ``dryRun`` is neither true nor false.
    """
    if not spec.writes:
        return spec, False
    if is_dry_run(document):
        return replace(spec, operation=Operation.QUERY_DRY_RUN, writes=False), True
    is_insert = action_of(document) in _INSERTS
    digest = fingerprint(
        "query",
        spec.target.datasource_id,
        canonical(spec.target.source),
        spec.resource,
        canonical(document),
        *on_behalf,
    )
    return replace(
        spec,
        idempotency_key=key,
        creates=key is not None and is_insert,
        coalesces=coalesces and key is None and is_insert,
        fingerprint=digest,
    ), False


async def run_test(
    services: "Services", spec: "CallSpec", source: "DataSource | None"
) -> "tuple[TestAnswer, Answer]":
    """Test a connection, and keep the result as the status of *source*, if it is of one.

    Args:
        source: The data source that *spec* was made of, as it is stored.

    Raises:
        CloudConnectError: Why it could not be tested.
    """
    try:
        async with services.calls.read(spec) as answer:
            told = understood(TestAnswer, await answer.collect(max_bytes=_MAX_TEST_BYTES))
    except CloudConnectError as error:
        if error.code not in OURS:
            await _keep_test_result(services, source, success=False, message=error.message)
        raise
    if told.success:
        told = told.model_copy(update={"message": _TEST_SUCCEEDED})
    await _keep_test_result(services, source, success=told.success, message=told.message)
    return told, answer


async def run_tree(
    services: "Services", spec: "CallSpec", rules: "PartnerRules | None"
) -> "tuple[list[Any], Answer]":
    """Return the tables and fields that there are to pick from.

    Args:
        rules: What a partner may see of them.

    Raises:
        CloudConnectError: Why there are none.
    """
    async with services.calls.read(spec) as answer:
        told = understood(_Tree, await answer.collect(max_bytes=_MAX_TREE_BYTES))
    return told.items if rules is None else rules.tree(told.items), answer


async def _keep_test_result(
    services: "Services", source: "DataSource | None", *, success: bool, message: str
) -> None:
    if source is None:
        return
    status = DataSourceStatus.READY if success else DataSourceStatus.TEST_FAILED
    datasources = services.storage.of(source.subscription_id).datasources
    await datasources.tested(source, status=status, message=message)
