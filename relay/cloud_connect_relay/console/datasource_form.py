"""The details of a data source as fields of a form, and back."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cloud_connect.calls import MAX_ID
from cloud_connect_relay.console.accounts import ENVIRONMENT_TEXTS
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.names import PRINTABLE
from cloud_connect_relay.storage.datasources import NEW_DETAILS, DataSourceDetails

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ENVIRONMENTS", "differences", "form_of", "read_details", "version_of"]

ENVIRONMENTS: Final = tuple((one.value, text) for one, text in ENVIRONMENT_TEXTS.items())
_ONE_LINE: Final = re.compile(rf"{PRINTABLE}*")
_MAX_NAME: Final = 200
_MAX_CONNECTORS: Final = 32


def form_of(details: DataSourceDetails | None) -> Form:
    """Return the form filled in with what is stored."""
    details = details or NEW_DETAILS
    settings = details.settings
    return Form.of(
        title=details.title,
        company_id=_text(settings.get("companyId")),
        environment=_text(settings.get("environment")),
        project_id=_text(settings.get("projectId")),
        use_connector=details.use_connector,
        connectors=details.connector_ids,
        group=details.connector_group,
        seen=version_of(details),
    )


def version_of(details: DataSourceDetails) -> str:
    """Return what tells one state of the details from another; security is a form of its own."""
    told = [
        details.title,
        dict(details.settings),
        details.use_connector,
        list(details.connector_ids),
        details.connector_group,
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def read_details(form: Form, before: DataSourceDetails | None) -> DataSourceDetails:
    """Return the details that the form asks for; nothing has to be filled in."""
    kept = before or NEW_DETAILS
    settings = dict(kept.settings)
    company_id = _id(form, "company_id", label="Procore Company Id")
    project_id = _id(form, "project_id", label="The project id")
    environment = form.value("environment")
    if environment and environment not in dict(ENVIRONMENTS):
        form.fault("environment", "Choose one of the environments of Procore.")
    chosen = tuple(dict.fromkeys(one for one in form.many("connectors") if one))
    if len(chosen) > _MAX_CONNECTORS:
        form.fault(
            "connectors",
            f"Choose at most {_MAX_CONNECTORS} connectors, or put them into a group and choose"
            " that.",
        )
    _put(settings, "companyId", company_id)
    _put(settings, "environment", environment)
    _put(settings, "projectId", project_id)
    return DataSourceDetails(
        title=form.text(
            "title",
            label="The name",
            max_length=_MAX_NAME,
            pattern=_ONE_LINE,
            rule="The name stands on one line.",
        ),
        type=kept.type,
        settings=settings,
        use_connector=form.checked("use_connector"),
        # As it was, if only the order differs: that is nothing which a person can choose here.
        connector_ids=kept.connector_ids if set(chosen) == set(kept.connector_ids) else chosen,
        connector_group=form.value("group").strip() or None,
        security=kept.security,
    )


def differences(
    theirs: DataSourceDetails, yours: DataSourceDetails, connectors: Mapping[str, str]
) -> "Iterator[tuple[str, str, str]]":
    """Yield field, their value and your value, where both differ.

    Args:
        connectors: Names by id.
    """
    pairs = zip(_told(theirs, connectors), _told(yours, connectors), strict=True)
    for (name, their), (_, your) in pairs:
        if their != your:
            yield name, their or "(empty)", your or "(empty)"


def _told(details: DataSourceDetails, connectors: Mapping[str, str]) -> "Iterator[tuple[str, str]]":
    settings = details.settings
    environment = _text(settings.get("environment"))
    yield "Datasource Name", details.title
    yield "Procore Company Id", _text(settings.get("companyId"))
    yield "Procore Environment", dict(ENVIRONMENTS).get(environment, environment)
    yield "Project", _text(settings.get("projectId"))
    yield "Use Kianda Cloud Connect", "on" if details.use_connector else "off"
    yield "Connectors", ", ".join(sorted(connectors.get(one, one) for one in details.connector_ids))
    yield "Connector group", details.connector_group or ""


def _id(form: Form, name: str, *, label: str) -> str:
    text = form.value(name).strip()
    if text and not (
        text.isascii() and text.isdecimal() and len(text) <= 19 and 0 < int(text) <= MAX_ID
    ):
        form.fault(
            name, f"{label} is a whole number, without spaces or points: Procore shows it as such."
        )
    return text


def _put(settings: dict[str, Any], name: str, value: str) -> None:
    """Store a value; one that says the same as before stays as it was written."""
    if not value:
        settings.pop(name, None)
    elif str(settings.get(name, "")) != value:
        settings[name] = value


def _text(value: object) -> str:
    return "" if value is None else str(value)
