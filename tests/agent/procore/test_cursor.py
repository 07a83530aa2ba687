import base64

import orjson
import pytest

from cloud_connect.errors import InvalidRequestError
from cloud_connect.query import Condition, Group, Operator
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.cursor import Position, read_cursor, write_cursor
from cloud_connect_agent.procore.selection import Order, Selection
from cloud_connect_agent.procore.values import FieldType, sort_key
from doubles.scripted_procore import source

RFIS = load_catalog().resource("rfis")
PLAIN = Selection(resource=RFIS)
SORTED = Selection(resource=RFIS, order=(Order(field="due_date"),))
CHOSEN = Selection(resource=RFIS, condition=Group(conditions=(Condition.of("id", Operator.EQ, 1),)))


def with_cursor(selection: Selection, cursor: str) -> Selection:
    return Selection(
        resource=selection.resource,
        condition=selection.condition,
        order=selection.order,
        cursor=cursor,
    )


def test_no_cursor_is_no_position() -> None:
    assert read_cursor(PLAIN, source()) is None


def test_position_in_a_list_comes_back() -> None:
    position = Position(t={"project_id": "7"}, p=3, n=40, s=100, i=562949953421313)
    cursor = write_cursor(position, PLAIN, source())
    assert read_cursor(with_cursor(PLAIN, cursor), source()) == position
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_position_in_an_order_comes_back() -> None:
    keys = tuple(
        sort_key(value, FieldType.DATETIME if "T" in str(value) else None)
        for value in (12.5, "2026-11-24T10:00:00Z", "Text ✓", None)
    )
    cursor = write_cursor(Position.in_order(keys), SORTED, source())
    position = read_cursor(with_cursor(SORTED, cursor), source())
    assert position is not None
    assert position.sort_keys == keys


def test_cursor_belongs_to_its_query() -> None:
    cursor = write_cursor(Position(p=2), PLAIN, source())
    for other in (CHOSEN, Selection(resource=load_catalog().resource("submittals"))):
        with pytest.raises(InvalidRequestError, match="paging"):
            read_cursor(with_cursor(other, cursor), source())
    with pytest.raises(InvalidRequestError, match="paging"):
        read_cursor(with_cursor(PLAIN, cursor), source(project=7))


def pack(document: object) -> str:
    mark = orjson.loads(
        base64.urlsafe_b64decode(write_cursor(Position(p=2), SORTED, source()) + "==")
    )[0]
    return base64.urlsafe_b64encode(orjson.dumps([mark, document])).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!!!!",
        "é",
        base64.urlsafe_b64encode(b"{}").decode(),
        base64.urlsafe_b64encode(b"[1]").decode(),
        base64.urlsafe_b64encode(b'["x",{}]').decode(),
        pack({}),
        pack({"p": 0}),
        pack({"s": 10**9}),
        pack({"k": [[0, "seven"]]}),
        pack({"k": [[0, "NaN"]]}),
        pack({"k": [["a", "b"]]}),
        pack({"unknown": 1}),
    ],
)
def test_cursor_that_we_did_not_make_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequestError, match="paging"):
        read_cursor(with_cursor(SORTED, cursor), source())
