"""The caller's library: Procore records through a relay, typed, signed and sealed if wished.

Writes get idempotency keys by themselves; what may have been carried out is looked up, never
sent again as another call.
"""

from cloud_connect.calls import Environment, Filter
from cloud_connect.client.call_record import CallRecord
from cloud_connect.client.data_source import DataSource, QueryResult, Row, TestReport
from cloud_connect.client.failures import RelayUnreachableError
from cloud_connect.client.protection import Pin
from cloud_connect.client.relay import CloudConnect, DataSourceFacts
from cloud_connect.errors import CloudConnectError, ErrorCode, Outcome
from cloud_connect.signing import SigningKey

__all__ = [
    "CallRecord",
    "CloudConnect",
    "CloudConnectError",
    "DataSource",
    "DataSourceFacts",
    "Environment",
    "ErrorCode",
    "Filter",
    "Outcome",
    "Pin",
    "QueryResult",
    "RelayUnreachableError",
    "Row",
    "SigningKey",
    "TestReport",
]
