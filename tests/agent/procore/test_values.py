import itertools
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect_agent.procore.values import (
    BLANK_RANK,
    Calendar,
    FieldType,
    as_boolean,
    as_moment,
    as_number,
    compare,
    equals,
    is_blank,
    sort_key,
)

BLANKS: tuple[object, ...] = (None, "", [], {})
NOON = Calendar(now=datetime(2026, 11, 24, 12, tzinfo=UTC), zone=UTC)
T = FieldType


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        ("007", 7),
        (" 12.50 ", Decimal("12.50")),
        (2.5, Decimal("2.5")),
        (562949953421312, 562949953421312),
        ("562949953421313", 562949953421313),
        (Decimal(3), 3),
        (True, None),
        ("x", None),
        ("1e9", None),
        ("", None),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
        ("9" * 200, None),
    ],
)
def test_numbers_are_read_exactly(value: object, number: object) -> None:
    assert as_number(value) == number


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-24", date(2026, 11, 24)),
        ("2026-11-24T08:30:00Z", datetime(2026, 11, 24, 8, 30, tzinfo=UTC)),
        ("2016-05-19T12:00Z", datetime(2016, 5, 19, 12, tzinfo=UTC)),
        ("2026-11-24 08:30", datetime(2026, 11, 24, 8, 30, tzinfo=UTC)),
        ("2026-11-24t08:30:00.123z", datetime(2026, 11, 24, 8, 30, 0, 123000, tzinfo=UTC)),
        (
            "2026-11-24T08:30:00+02:00",
            datetime(2026, 11, 24, 8, 30, tzinfo=timezone(timedelta(hours=2))),
        ),
        ("2026-13-01", None),
        ("20261124", None),
        ("tomorrow", None),
        (20261124, None),
        (None, None),
    ],
)
def test_days_and_times_are_read_as_procore_writes_them(value: object, moment: object) -> None:
    assert as_moment(value) == moment


def test_booleans_are_read_from_text_and_digits() -> None:
    assert [as_boolean(value) for value in (True, "TRUE", 1, "yes", "1")] == [True] * 5
    assert [as_boolean(value) for value in (False, "false", 0, "no")] == [False] * 4
    assert [as_boolean(value) for value in ("perhaps", None, 2)] == [None] * 3


def test_blank_is_what_says_nothing() -> None:
    assert all(is_blank(value) for value in BLANKS)
    assert not any(is_blank(value) for value in (0, False, " ", [0]))


@pytest.mark.parametrize(
    ("value", "operand", "kind", "order"),
    [
        (9, "10", None, -1),
        ("9", "10", T.INTEGER, -1),
        ("9", "10", T.STRING, -1),
        ("1000.00", 1000, T.MONEY, 0),
        ("1000.00", "999.99", None, 1),
        ("Beta", "alpha", T.STRING, 1),
        ("abc", 7, T.INTEGER, None),
        ("2026-11-24", "2026-11-23", T.DATE, 1),
        ("2026-11-24", "2026-11-24T23:59:00Z", T.DATE, 0),
        ("2026-11-24T10:00:00Z", "2026-11-24", T.DATETIME, 0),
        ("2026-11-24T10:00:00Z", "2026-11-24T11:00:00+02:00", None, 1),
        ("2026-11-24", "soon", T.DATE, None),
        (True, "false", None, 1),
        ("yes", "no", T.BOOLEAN, 1),
        ("yes", "perhaps", T.BOOLEAN, None),
        ({"id": 1}, 1, None, None),
        (1, [1], None, None),
    ],
)
def test_values_compare_as_what_they_are(
    value: object, operand: object, kind: FieldType | None, order: int | None
) -> None:
    assert compare(value, operand, kind, NOON) == order


@pytest.mark.parametrize(
    ("value", "operand", "kind", "same"),
    [
        ("Open", "oPEN", T.STRING, True),
        ("straße", "STRASSE", None, True),
        ("007", "7", T.STRING, False),
        ("007", "7", None, False),
        ("007", "7", T.INTEGER, True),
        ("007", 7, None, True),
        ("1.50", "1.5", None, True),
        ("2026-11-24", "2026-11-24T00:00:00Z", None, True),
        (562949953421313, "562949953421313", T.INTEGER, True),
        (562949953421313, "562949953421312", T.INTEGER, False),
        (True, "true", None, True),
        ("100.00", "100", None, True),
        ("01J9aB", "01J9aB", T.KEY, True),
        ("01J9aB", "01J9Ab", T.KEY, False),
        ("007", 7, T.KEY, False),
        ("7", 7.0, T.KEY, True),
        (562949953421313, "562949953421313", T.KEY, True),
    ],
)
def test_equality_ignores_case_and_keeps_leading_zeros(
    value: object, operand: object, kind: FieldType | None, *, same: bool
) -> None:
    assert equals(value, operand, kind, NOON) is same


def test_today_is_where_people_are() -> None:
    late = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    dublin, tokyo = Calendar(now=late, zone=UTC), timezone(timedelta(hours=9))
    assert dublin.today == date(2026, 11, 24)
    assert Calendar(now=late, zone=tokyo).today == date(2026, 11, 25)
    assert Calendar(now=late).day(date(2026, 1, 1)) == date(2026, 1, 1)


def test_order_puts_numbers_first_and_blanks_last() -> None:
    values = [None, "b", "A", "10", 9, "2026-01-01", "", True]
    ordered = sorted(values, key=lambda value: sort_key(value, None))
    assert ordered == [True, 9, "10", "2026-01-01", "A", "b", None, ""]
    assert sort_key({"a": 1}, None)[0] == BLANK_RANK
    assert sort_key("2026-01-01", T.DATE) < sort_key("2026-01-01T00:00:01Z", T.DATE)
    assert sort_key("soon", T.DATE) == (2, "soon")
    assert sort_key("007", T.KEY) == (2, "007")


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.dates().map(str)
    | st.datetimes().map(lambda moment: moment.isoformat() + "Z")
)
KINDS = st.none() | st.sampled_from(FieldType)


@given(SCALARS, SCALARS, KINDS)
def test_any_two_values_compare_without_a_fault(
    value: object, operand: object, kind: FieldType | None
) -> None:
    assert compare(value, operand, kind, NOON) in {-1, 0, 1, None}
    assert isinstance(equals(value, operand, kind, NOON), bool)


@given(st.lists(SCALARS), KINDS)
def test_any_values_can_be_put_in_order(values: list[object], kind: FieldType | None) -> None:
    keys = sorted(sort_key(value, kind) for value in values)
    assert all(first <= second for first, second in itertools.pairwise(keys))
