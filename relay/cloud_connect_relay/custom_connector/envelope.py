"""What the platform posts, and the settings that are sealed inside it."""

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from cloud_connect.errors import DataSourceIncompleteError
from cloud_connect_relay.calls.spec import Target, target_of
from cloud_connect_relay.custom_connector.dialects import BLOCK_BYTES, from_base64
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.storage.datasources import (
    DataSource,
    DataSourceDetails,
    DataSourceStatus,
)

__all__ = ["NONSENSE", "BagSettings", "Envelope"]

_MAX_BAG_BYTES: Final = 64 * 1024
_MAX_REQUEST_ID: Final = 256  # characters; the platform's are UUIDs
_MAX_CONNECTORS: Final = 32

ShortText = Annotated[str, StringConstraints(max_length=_MAX_REQUEST_ID)]


def _iv(value: object) -> object:
    """Decode an initialisation vector; nothing and an empty text are none."""
    if value is None or not isinstance(value, str) or not value:
        return None
    iv = from_base64(value)
    if iv is None or len(iv) != BLOCK_BYTES:
        raise ValueError("it must be base64 of 16 bytes")
    return iv


def _bag(value: object) -> object:
    """Decode sealed settings: whole blocks, and not too many."""
    bag = from_base64(value) if isinstance(value, str) else None
    if bag is None or not 0 < len(bag) <= _MAX_BAG_BYTES or len(bag) % BLOCK_BYTES:
        raise ValueError("it must be base64 of whole blocks")
    return bag


class Envelope(BaseModel):
    """A request of the platform.

    Nothing of it but the bag is proven to come from the platform: whoever sees a request can
    change the rest.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    requestId: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_REQUEST_ID)]  # noqa: N815  the platform's name
    userId: ShortText | None = None  # noqa: N815  the platform's name
    encryptedSettingsPropertyBag: Annotated[bytes, BeforeValidator(_bag)] = Field(repr=False)  # noqa: N815  the platform's name
    iv: Annotated[bytes | None, BeforeValidator(_iv)] = None
    query: dict[str, Any] | None = Field(default=None, repr=False)

    @property
    def last_block(self) -> bytes:
        """The end of the bag, which no two honest ones share where each has a fresh IV."""
        return self.encryptedSettingsPropertyBag[-BLOCK_BYTES:]


# What stands in for what is no envelope, so that it costs what a refused one costs.
NONSENSE: Final = Envelope.model_construct(
    requestId="-", encryptedSettingsPropertyBag=bytes(3 * BLOCK_BYTES), iv=bytes(BLOCK_BYTES)
)


def _connectors(value: object) -> object:
    """Let one id and a list of them through; an empty text is none."""
    if value is None:
        return ()
    return [one for one in (value if isinstance(value, list) else [value]) if one != ""]


class BagSettings(BaseModel):
    """What an administrator of the platform entered: a data source, or what makes one up."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    datasourceId: ShortText = ""  # noqa: N815  the platform's spelling
    companyId: int | ShortText | None = None  # noqa: N815  the platform's spelling
    environment: ShortText | None = None
    projectId: int | ShortText | None = None  # noqa: N815  the platform's spelling
    connectorId: Annotated[  # noqa: N815  the platform's spelling
        tuple[ShortText, ...], BeforeValidator(_connectors), Field(max_length=_MAX_CONNECTORS)
    ] = ()
    connectorGroup: ShortText | None = None  # noqa: N815  the platform's spelling

    @classmethod
    def read(cls, text: bytes) -> Self | None:
        """Return the settings; ``None`` if they do not say where calls go."""
        try:
            settings = cls.model_validate_json(text)
        except ValueError:
            return None
        if settings.datasourceId:
            return settings if is_id("ds", settings.datasourceId) else None
        try:
            settings.target(subscription_id="", registration_id="")
        except DataSourceIncompleteError:
            return None
        return settings

    def target(self, *, subscription_id: str, registration_id: str) -> Target:
        """Return where calls go when no data source is named.

        Raises:
            DataSourceIncompleteError: If the settings do not say it.
        """
        settings = {
            "companyId": self.companyId,
            "environment": (self.environment or "").strip().lower().replace("-", "_"),
            "projectId": self.projectId,
        }
        return target_of(
            DataSource(
                id=registration_id,
                subscription_id=subscription_id,
                details=DataSourceDetails(
                    title="custom connector",
                    type="procore",
                    settings=settings,
                    use_connector=bool(self.connectorId or self.connectorGroup),
                    connector_ids=self.connectorId,
                    connector_group=self.connectorGroup or None,
                    security={},
                ),
                status=DataSourceStatus.INCOMPLETE,
                message="",
                created_at=0,
                modified_at=0,
                modified_by="",
            )
        )
