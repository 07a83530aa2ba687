"""What a command did."""

import json
from dataclasses import dataclass
from typing import Any

__all__ = ["Ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command did."""

    status: int
    output: str
    errors: str

    @property
    def document(self) -> Any:
        return json.loads(self.output)
