"""What a query of the platform writes: fields by name, of one record or of several."""

from typing import Final

from cloud_connect.errors import InvalidRequestError

__all__ = ["MAX_FIELDS", "MAX_RECORDS", "mappings_of", "records_of"]

MAX_FIELDS: Final = 500  # fields, and mapped fields, of one query
MAX_RECORDS: Final = 5_000  # new records of one call; what is more belongs into several


def mappings_of(value: object, *, member: str = "mappings") -> dict[str, object]:
    """Read an object keyed by field, or a list of left and right pairs.

    Raises:
        InvalidRequestError: If it is neither; the message names the field or *member*.
    """
    if value is None:
        return {}
    if isinstance(value, dict):
        pairs = dict(value)
    elif isinstance(value, list):
        pairs = dict(_pair(item, member) for item in value)
    else:
        raise InvalidRequestError(f"“{member}” must be an object or a list of pairs.")
    if len(pairs) > MAX_FIELDS:
        raise InvalidRequestError(f"“{member}” may name at most {MAX_FIELDS} fields.")
    if "" in pairs:
        raise InvalidRequestError(f"“{member}” holds a field without a name.")
    return pairs


def records_of(value: object) -> tuple[dict[str, object], ...]:
    """Read a list of records, each as :func:`mappings_of` takes it.

    Raises:
        InvalidRequestError: If it is no list, holds too many, or one that is no record.
    """
    if not isinstance(value, list) or not value:
        raise InvalidRequestError("“records” must be a list of records, and hold some.")
    if len(value) > MAX_RECORDS:
        raise InvalidRequestError(f"“records” may hold at most {MAX_RECORDS} records.")
    records = tuple(
        mappings_of(item, member=f"records[{place}]") for place, item in enumerate(value)
    )
    for place, record in enumerate(records):
        if not record:
            raise InvalidRequestError(f"“records[{place}]” is empty: there is nothing to write.")
    return records


def _pair(item: object, member: str) -> tuple[str, object]:
    right = item.get("right") if isinstance(item, dict) else None
    left = item.get("left") if isinstance(item, dict) else None
    name = right.get("name") if isinstance(right, dict) else None
    if not isinstance(name, str):
        raise InvalidRequestError(f"A pair of “{member}” names no field: “right.name” is missing.")
    if not isinstance(left, dict) or "value" not in left:
        raise InvalidRequestError(f"The mapping to “{name}” has no value: “left.value” is missing.")
    return name, left["value"]
