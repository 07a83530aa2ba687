"""What the relay knows of a call."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cloud_connect.errors import Outcome

__all__ = ["CallRecord"]


class CallRecord(BaseModel):
    """One call, as its lookup tells.

    Attributes:
        outcome: ``None`` while it runs.
        final: Whether the outcome stays what it is.
        code: Of the failure that was its answer, if it was one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    call_id: str
    state: str
    outcome: Outcome | None = None
    final: bool = False
    status: int | None = None
    code: str | None = None
    detail: str | None = None
    operation: str
    resource: str | None = None
    datasource_id: str | None = None
    connector_id: str | None = None
    idempotency_key: str | None = Field(default=None, repr=False)
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    rows: int | None = None
