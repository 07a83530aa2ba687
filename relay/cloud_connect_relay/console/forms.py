"""Fields as a person filled them in, and what is wrong with them beside each."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Self

__all__ = ["Form"]

_MAX_TEXT: Final = 500  # characters of a field, unless it says more
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Form:
    """The fields of a form.

    Reading a field checks it; what is wrong goes to ``errors``, by the field's name, and the
    template shows it there (``ui.field(form, "name", …)``)::

        name = page.form.text("name", label="Name", required=True, max_length=80)
        if not page.form.ok:
            return page.render("keys/edit.html", status=422, form=page.form)

    Attributes:
        errors: Sentences for the person, by field.
    """

    def __init__(self, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        self._fields: Final = {name: list(values) for name, values in (fields or {}).items()}
        self.errors: Final[dict[str, str]] = {}

    @classmethod
    def of(cls, **values: str | int | bool | Iterable[str] | None) -> Self:
        """Return a form that is filled in already, from what is stored.

        ``None`` and ``False`` leave a field empty, ``True`` ticks a box.
        """
        fields: dict[str, list[str]] = {}
        for name, value in values.items():
            if value is None or value is False:
                fields[name] = []
            elif isinstance(value, str | int):
                fields[name] = ["on" if value is True else str(value)]
            else:
                fields[name] = list(value)
        return cls(fields)

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong so far."""
        return not self.errors

    def fault(self, name: str, sentence: str) -> None:
        """Say what is wrong with a field; the first word stands."""
        self.errors.setdefault(name, sentence)

    def value(self, name: str, default: str = "") -> str:
        """Return a field as it was sent, unchecked: for showing it again."""
        values = self._fields.get(name)
        return values[0] if values else default

    def has(self, name: str) -> bool:
        """Whether the field was sent at all."""
        return bool(self._fields.get(name))

    def many(self, name: str) -> list[str]:
        """Return all values of a field, as boxes with one name send them."""
        return list(self._fields.get(name, ()))

    def checked(self, name: str) -> bool:
        """Whether a box or switch is on."""
        return self.value(name) not in {"", "off", "false"}

    def text(
        self,
        name: str,
        *,
        label: str,
        required: bool = False,
        max_length: int = _MAX_TEXT,
        pattern: re.Pattern[str] | None = None,
        rule: str = "",
    ) -> str:
        """Return a line or a text, without spaces around it.

        Args:
            label: What the page calls the field.
            pattern: What it must match as a whole.
            rule: The sentence for when it does not.
        """
        value = self.value(name).strip().replace("\r\n", "\n")
        if not value:
            if required:
                self.fault(name, f"Enter {label}.")
            return ""
        if len(value) > max_length:
            self.fault(name, f"{label} has at most {max_length} characters.")
        elif _CONTROLS.search(value):
            self.fault(name, f"{label} holds a character that cannot be printed.")
        elif pattern is not None and pattern.fullmatch(value) is None:
            self.fault(name, rule or f"{label} is not written as it must be.")
        return value

    def choice(
        self, name: str, options: Iterable[str], *, label: str, default: str | None = None
    ) -> str:
        """Return one of *options*; what is not among them is a fault."""
        known = list(options)
        value = self.value(name)
        if value in known:
            return value
        if not value and default is not None:
            return default
        self.fault(name, f"Choose {label}.")
        return default if default is not None else (known[0] if known else "")

    def number(
        self,
        name: str,
        *,
        label: str,
        minimum: int,
        maximum: int,
        required: bool = False,
    ) -> int | None:
        """Return a whole number within bounds, or ``None`` if there is none."""
        value = self.value(name).strip()
        if not value:
            if required:
                self.fault(name, f"Enter {label}.")
            return None
        if re.fullmatch(r"-?\d{1,18}", value, re.ASCII) is None:
            self.fault(name, f"{label} is a whole number.")
            return None
        number = int(value)
        if not minimum <= number <= maximum:
            self.fault(name, f"{label} is a number from {minimum:,} to {maximum:,}.")
            return None
        return number
