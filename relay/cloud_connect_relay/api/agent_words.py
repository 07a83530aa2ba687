"""What agents say, checked: another company's machine wrote it."""

from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from cloud_connect.errors import SourceUnavailableError

__all__ = ["understood"]

_Model = TypeVar("_Model", bound=BaseModel)

_NOT_UNDERSTOOD: Final = "The connector's answer is not understood."


def understood(model: type[_Model], text: bytes) -> _Model:
    """Return what an agent's JSON says.

    Raises:
        SourceUnavailableError: If it is not of the model's shape.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise SourceUnavailableError(_NOT_UNDERSTOOD) from error
