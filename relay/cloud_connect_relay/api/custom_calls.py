"""What a custom connector is asked, carried out as the platform's own calls are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from cloud_connect.calls import Operation
from cloud_connect.errors import (
    CloudConnectError,
    DataSourceIncompleteError,
    InsufficientScopeError,
    InvalidRequestError,
    NotFoundError,
)
from cloud_connect_relay.access import Subject, Unknown, Use
from cloud_connect_relay.api.bodies import passed_on, to_json
from cloud_connect_relay.api.call_response import lookup_of
from cloud_connect_relay.api.problems import describe
from cloud_connect_relay.api.query_calls import (
    action_of,
    check_action,
    is_write,
    query_spec,
    run_test,
    run_tree,
    table_of,
)
from cloud_connect_relay.api.row_text import RowJoiner
from cloud_connect_relay.calls.idempotency import fingerprint
from cloud_connect_relay.calls.spec import CallSpec, target_of
from cloud_connect_relay.credentials import STRANGER_SCOPES

if TYPE_CHECKING:
    from cloud_connect_relay.calls.answer import Answer
    from cloud_connect_relay.calls.spec import Target
    from cloud_connect_relay.custom_connector.entrance import Visit
    from cloud_connect_relay.services import Services
    from cloud_connect_relay.storage.datasources import DataSource

__all__ = ["QueryResult", "key_of", "metadata_of", "query_of", "refusal", "test_of"]

_MAX_ROW_BYTES: Final = 16 * 1024 * 1024  # of all rows of one answer, which has to be whole
_OUT_OF_REACH: Final = (
    "The request was carried out before; its answer is kept on the connector's PC, which cannot"
    " be asked at the moment."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """The member ``queryResult`` of an answer, but for its signature.

    Attributes:
        items: The inside of a JSON array.
        count: How many items that are.
        hops: Where the time of the call went, in milliseconds by hop; it goes beside the answer.
    """

    success: bool
    message: str
    data: dict[str, Any] = field(default_factory=dict)
    items: bytes = field(default=b"", repr=False)
    count: int = 0
    hops: Mapping[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as the platform reads it."""
        return {
            "success": self.success,
            "message": self.message,
            "data": self.data,
            "items": orjson.Fragment(b"[" + self.items + b"]"),
            "resultCount": str(self.count),
        }


def refusal(error: CloudConnectError) -> QueryResult:
    """Return a failure: a sentence for the form's user, and for programs what it means."""
    data = describe(error, call_id=error.call_id, lookup=lookup_of(error))
    return QueryResult(success=False, message=error.message, data=data, hops=error.hops)


async def test_of(services: "Services", visit: "Visit") -> QueryResult:
    """Test the connection, and keep the result as the data source's status.

    Raises:
        CloudConnectError: Why it could not be tested.
    """
    subject = await _subject_of(services, visit, "calls:test")
    source = await _source_of(services, visit, subject)
    if source is None:
        target = await _target_of(services, visit, subject, Use.TEST)
    else:
        target = target_of(source)
    told, answer = await run_test(services, _spec(services, visit, target, Operation.TEST), source)
    data = {"call_id": answer.call_id, "steps": told.steps}
    return QueryResult(success=told.success, message=told.message, data=data, hops=answer.spent)


async def metadata_of(services: "Services", visit: "Visit") -> QueryResult:
    """Return the tree of tables and fields.

    Raises:
        CloudConnectError: Why there is none.
    """
    target = await _target_of(
        services, visit, await _subject_of(services, visit, "calls:read"), Use.TREE
    )
    spec = _spec(services, visit, target.confined(), Operation.TREE)
    items, answer = await run_tree(services, spec, target.partner_rules)
    return QueryResult(
        success=True,
        message="",
        data={"call_id": answer.call_id},
        items=to_json(items)[1:-1],
        count=len(items),
        hops=answer.spent,
    )


def key_of(visit: "Visit") -> str | None:
    """Return the idempotency key of a request whose id is one: a write, where that is so."""
    document, connector = visit.envelope.query, visit.connector
    if document is None or not (connector.request_id_is_key and is_write(action_of(document))):
        return None
    return fingerprint("custom connector", connector.id, visit.envelope.requestId)


async def query_of(services: "Services", visit: "Visit") -> QueryResult:
    """Run the query.

    Raises:
        CloudConnectError: Why it was not carried out, or what is certain about that.
    """
    document = visit.envelope.query
    if document is None:
        raise InvalidRequestError("The request lacks the member 'query'.")
    action = action_of(document)
    check_action(action)
    writes = is_write(action)
    connector = visit.connector
    if writes and not connector.allow_writes:
        raise InsufficientScopeError(
            "This custom connector may read only; register one that allows writes to change"
            " records."
        )
    subject = await _subject_of(services, visit, "calls:write" if writes else "calls:read")
    target = await _target_of(services, visit, subject, Use.QUERY)
    if target.partner_rules is not None:
        document = target.partner_rules.query(document)
    asked = _spec(
        services,
        visit,
        target.confined(),
        Operation.QUERY,
        resource=table_of(document),
        writes=writes,
        body=passed_on(document),
    )
    person = () if subject.person is None else (subject.person,)
    spec, rehearsal = query_spec(asked, document, key=key_of(visit), on_behalf=person)
    running = services.calls.write(spec) if spec.writes else services.calls.read(spec)
    async with running as answer:
        return await _rows(answer, dry_run=rehearsal)


async def _rows(answer: "Answer", *, dry_run: bool) -> QueryResult:
    if not answer.body_available:
        return QueryResult(
            success=True,
            message=_OUT_OF_REACH,
            data={"call_id": answer.call_id},
            hops=answer.spent,
        )
    text = await answer.collect(max_bytes=_MAX_ROW_BYTES)
    joiner = RowJoiner()
    items = joiner.feed(text)
    answer.rows = joiner.total
    data: dict[str, Any] = {"call_id": answer.call_id}
    if answer.total_items is not None:
        data["totalItems"] = answer.total_items
    if answer.paging is not None:
        data["paging"] = answer.paging
    if dry_run:
        data["dryRun"] = True
    return QueryResult(
        success=True,
        message=answer.message or "",
        data=data,
        items=items,
        count=joiner.total,
        hops=answer.spent,
    )


async def _source_of(services: "Services", visit: "Visit", subject: Subject) -> "DataSource | None":
    """Return the data source that the settings name, as it is stored, if they name one.

    Raises:
        DataSourceIncompleteError: If it is gone.
        InsufficientScopeError: If its security settings do not let the user test it.
    """
    datasource_id = visit.settings.datasourceId
    if not datasource_id:
        return None
    try:
        return await services.calls.sources.checked(
            visit.connector.subscription_id, datasource_id, subject=subject, use=Use.TEST
        )
    except NotFoundError as error:
        raise _gone() from error


async def _subject_of(services: "Services", visit: "Visit", scope: str) -> Subject:
    """Return whom the platform asks for, who must have a scope.

    Raises:
        InsufficientScopeError: If they are known here and lack it, or may not sign in any more.
    """
    connector, name = visit.connector, (visit.envelope.userId or "").strip()
    unknown = Unknown(connector.users)
    if not name:  # nobody in particular: no person, or the least that one could be
        if unknown is Unknown.PARTNERS:
            return Subject.of_stranger(connector.id, unknown)
        return Subject.of_program(connector.id, STRANGER_SCOPES)
    subject, scopes = await services.authenticator.person(
        connector.subscription_id, name, unknown=unknown
    )
    if scopes.isdisjoint({"all", scope}):
        raise InsufficientScopeError(f"The user's role lacks '{scope}', which this needs.")
    return subject


async def _target_of(services: "Services", visit: "Visit", subject: Subject, use: Use) -> "Target":
    """Return where the call goes, within the registration's subscription and no other.

    Raises:
        DataSourceIncompleteError: If the data source is gone, or lacks something.
        InsufficientScopeError: If its security settings do not let the user use it so.
    """
    connector, settings = visit.connector, visit.settings
    if not settings.datasourceId:
        if subject.partner:
            raise InsufficientScopeError(
                "Partners use data sources that are open to them; the settings of this custom"
                " connector name none (datasourceId)."
            )
        return settings.target(
            subscription_id=connector.subscription_id, registration_id=connector.id
        )
    try:
        return await services.calls.sources.target(
            connector.subscription_id, settings.datasourceId, subject=subject, use=use
        )
    except NotFoundError as error:
        raise _gone() from error


def _gone() -> DataSourceIncompleteError:
    return DataSourceIncompleteError(
        "The data source that the custom connector's settings name does not exist; correct"
        " datasourceId in them."
    )


def _spec(
    services: "Services",
    visit: "Visit",
    target: "Target",
    operation: Operation,
    *,
    resource: str | None = None,
    writes: bool = False,
    body: bytes | None = None,
) -> CallSpec:
    return CallSpec(
        subscription_id=visit.connector.subscription_id,
        key_id=visit.connector.id,
        actor=f"custom-connector:{visit.connector.id}",
        target=target,
        operation=operation,
        resource=resource,
        headers=() if body is None else (("content-type", "application/json"),),
        writes=writes,
        body=body,
        timeout=services.calls.settings.default_deadline,
    )
