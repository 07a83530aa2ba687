"""Data sources as JSON, under the platform's names."""

from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
)

from cloud_connect.calls import MAX_ID, Environment
from cloud_connect_relay.access import PartnerRules
from cloud_connect_relay.access.security import Listed
from cloud_connect_relay.names import PRINTABLE
from cloud_connect_relay.storage.datasources import NEW_DETAILS, DataSource, DataSourceDetails
from cloud_connect_relay.times import iso_time

__all__ = ["DataSourceDocument", "SecurityDocument", "document_of", "merged", "secured"]

_MAX_LISTED: Final = 200  # users, groups or mappings in one member
_MAX_CONNECTORS: Final = 32


def _checked_id(value: object) -> object:
    """Let a Procore id through as it was written: a number, or a text of digits."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("write it as a whole number or as text of digits")  # noqa: TRY004  pydantic turns ValueErrors into a 400
    text = str(value).strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and 0 < int(text) <= MAX_ID):
        raise ValueError(f"it must be a whole number from 1 to {MAX_ID}")
    return text if isinstance(value, str) else value


def _checked_environment(value: object) -> object:
    """Let the command line's spelling through, too, and nothing as nothing."""
    if isinstance(value, str):
        return value.strip().lower().replace("-", "_") or None
    return value


def _checked_connectors(value: object) -> object:
    if value is None:
        return []
    ids = value if isinstance(value, list) else [value]
    return [one for one in ids if one != ""]


ProcoreId = Annotated[int | str | None, BeforeValidator(_checked_id)]
Text = Annotated[str, StringConstraints(max_length=200, pattern=rf"^{PRINTABLE}*$")]
ConnectorId = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_]*$")]


def _checked_people(value: list[Any]) -> list[Any]:
    for entry in value:
        Listed.of(entry)
    return value


def _checked_mappings(value: list[Any]) -> list[Any]:
    PartnerRules.parse(value)
    return value


People = Annotated[
    list[Any],
    Field(
        max_length=_MAX_LISTED,
        description="User ids or names, ids of API keys, `group:` and a role, or objects with"
        " `id` or `name`.",
    ),
    AfterValidator(_checked_people),
]
Mappings = Annotated[
    list[Any],
    Field(
        max_length=_MAX_LISTED,
        description="`{queryType: Create|Read|Update|Delete, table, conditions}`; conditions as in"
        " a query.",
    ),
    AfterValidator(_checked_mappings),
]


_ONE_CONNECTOR: Final = {"type": "string", "maxLength": 64, "pattern": r"^[A-Za-z0-9_]*$"}
_CONNECTORS_SCHEMA: Final = {
    "description": "One connector's id, or a list of them.",
    "anyOf": [
        _ONE_CONNECTOR,
        {"type": "array", "items": _ONE_CONNECTOR, "maxItems": _MAX_CONNECTORS},
        {"type": "null"},
    ],
}


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SettingsDocument(_Document):
    """What the data source page asks for."""

    companyId: ProcoreId = None  # noqa: N815  the platform's name
    environment: Annotated[Environment | None, BeforeValidator(_checked_environment)] = None
    projectId: ProcoreId = Field(  # noqa: N815  the platform's spelling
        default=None, description="The project of calls that name none."
    )


class SecurityDocument(_Document):
    """The security dialog."""

    enableB2B: StrictBool = False  # noqa: N815  the platform's name
    enableFiltering: StrictBool = False  # noqa: N815  the platform's name
    b2bMappings: Mappings = Field(default_factory=list)  # noqa: N815  the platform's name
    admins: People = Field(default_factory=list)
    allowedUsers: People = Field(default_factory=list)  # noqa: N815  the platform's name
    exclusionUsers: People = Field(default_factory=list)  # noqa: N815  the platform's name


class DataSourceDocument(SecurityDocument):
    """A data source as it is saved; what the relay itself sets is taken and not looked at."""

    id: str | None = None
    title: Text | None = ""
    type: Literal["procore"] = "procore"
    settings: SettingsDocument | None = None
    useConnector: StrictBool | None = None  # noqa: N815  the platform's name
    connectorId: Annotated[  # noqa: N815  the platform's name
        list[ConnectorId],
        BeforeValidator(_checked_connectors),
        Field(max_length=_MAX_CONNECTORS, description="One connector's id, or a list of them."),
        WithJsonSchema(_CONNECTORS_SCHEMA),
    ] = Field(default_factory=list)
    connectorGroup: Text | None = None  # noqa: N815  the platform's spelling
    clientConnectorId: Any = None  # noqa: N815  the platform's name
    typeIcon: Any = None  # noqa: N815  the platform's name
    typeTitle: Any = None  # noqa: N815  the platform's name
    candelete: Any = None
    readOnly: Any = None  # noqa: N815  the platform's name
    status: Any = None
    message: Any = None
    created: Any = None
    modified: Any = None
    modifiedBy: Any = None  # noqa: N815  the platform's name


_SECURITY: Final = tuple(SecurityDocument.model_fields)


def merged(document: DataSourceDocument, before: DataSourceDetails | None) -> DataSourceDetails:
    """Return the details that *document* asks for; what it leaves out is as *before*."""
    given = document.model_fields_set
    kept = before or NEW_DETAILS
    settings = (document.settings or SettingsDocument()).model_dump(mode="json", exclude_none=True)
    return DataSourceDetails(
        title=(document.title or "").strip() if "title" in given else kept.title,
        type=document.type,
        settings=settings if "settings" in given else kept.settings,
        use_connector=bool(document.useConnector)
        if "useConnector" in given
        else kept.use_connector,
        connector_ids=tuple(dict.fromkeys(document.connectorId))
        if "connectorId" in given
        else kept.connector_ids,
        connector_group=(document.connectorGroup or "").strip() or None
        if "connectorGroup" in given
        else kept.connector_group,
        security=_security(document, kept),
    )


def secured(document: SecurityDocument, before: DataSourceDetails) -> DataSourceDetails:
    """Return the details with the members of the security dialog that *document* has."""
    return DataSourceDetails(
        title=before.title,
        type=before.type,
        settings=before.settings,
        use_connector=before.use_connector,
        connector_ids=before.connector_ids,
        connector_group=before.connector_group,
        security=_security(document, before),
    )


def _security(document: SecurityDocument, before: DataSourceDetails) -> dict[str, Any]:
    given = document.model_dump(mode="json", include=set(_SECURITY), exclude_unset=True)
    return {**before.security, **given}


def document_of(source: DataSource) -> dict[str, Any]:
    """Return a data source as the platform reads it."""
    details = source.details
    ids = details.connector_ids
    return {
        "id": source.id,
        "title": details.title,
        "type": details.type,
        "typeIcon": "fa fa-hard-hat",
        "typeTitle": "Procore",
        "candelete": True,
        "readOnly": False,
        "status": source.status.value,
        "message": source.message,
        "useConnector": details.use_connector,
        "connectorId": list(ids) if len(ids) > 1 else "".join(ids),
        "connectorGroup": details.connector_group or "",
        "clientConnectorId": "",
        "settings": dict(details.settings),
        "created": iso_time(source.created_at),
        "modified": iso_time(source.modified_at),
        "modifiedBy": source.modified_by,
        **SecurityDocument().model_dump(mode="json"),
        **details.security,
    }
