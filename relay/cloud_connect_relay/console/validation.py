"""What a person typed, checked by the very models that the API checks with."""

from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloud_connect_relay.console.forms import Form

__all__ = ["validated"]

_Model = TypeVar("_Model", bound=BaseModel)
_OURS: Final = "Value error, "  # what pydantic puts before a sentence of ours
_SENTENCES: Final = {
    "too_short": "This has at least {min_length} characters.",
    "too_long": "This has at most {max_length} characters.",
    "string_too_short": "This has at least {min_length} characters.",
    "string_too_long": "This has at most {max_length} characters.",
    "string_pattern_mismatch": "Write 1 to 100 characters that can be printed.",
}


def validated(
    form: "Form", model: type[_Model], values: "Mapping[str, Any]", *, at: str = ""
) -> _Model | None:
    """Return the model of *values*, or ``None``, with what is wrong said beside the fields.

    Args:
        at: The field that says what belongs to none.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            place = fault["loc"]
            form.fault(str(place[0]) if place else at, _sentence(fault))
        return None


def _sentence(fault: Any) -> str:
    if fault["type"] == "too_short" and fault["ctx"]["min_length"] == 1:
        return "Choose at least one."
    known = _SENTENCES.get(fault["type"])
    if known is not None:
        return known.format_map(fault.get("ctx", {}))
    text = str(fault["msg"]).removeprefix(_OURS)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
