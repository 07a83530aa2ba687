"""When a rule holds: days and times of day, in a time zone that is named."""

from datetime import datetime, time
from enum import StrEnum
from functools import cached_property
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

__all__ = ["Day", "Hours"]


class Day(StrEnum):
    """A day of the week, Monday first, as :meth:`datetime.weekday` counts."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_DAYS = list(Day)


def _time_of_day(value: object) -> object:
    """Take ``"07:30"`` and nothing looser: 730 or "7" may mean minutes or hours."""
    if isinstance(value, time) and value.tzinfo is None:
        return value  # TOML has local times
    if isinstance(value, str) and len(value) == 5 and value[2] == ":":
        hours, minutes = value[:2], value[3:]
        if (hours + minutes).isascii() and (hours + minutes).isdecimal():
            if value == "24:00":
                return time.max
            if int(hours) < 24 and int(minutes) < 60:
                return time(int(hours), int(minutes))
    raise ValueError('write a time of day as "07:30"')


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]


class Hours(BaseModel):
    """A stretch of each of some days.

    Attributes:
        until: Its end, which is outside; before *start*, it lies on the next day.
        zone: A name such as ``Europe/Berlin``: hours that nobody says whose mean nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    days: frozenset[Day] | None = Field(default=None, min_length=1)
    start: TimeOfDay = Field(default=time.min, alias="from")
    until: TimeOfDay = time.max
    zone: str

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise ValueError(
                'this PC knows no such time zone; write one such as "Europe/Berlin"'
            ) from exc
        return value

    @model_validator(mode="after")
    def _not_empty(self) -> "Hours":
        if self.start == self.until:
            raise ValueError("“from” and “until” are the same time of day")
        return self

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def cover(self, at: datetime) -> bool:
        """Whether the point in time *at* lies within."""
        local = at.astimezone(self._zone)
        moment, day = local.time(), local.weekday()
        if self.start < self.until:
            return self._on(day) and self.start <= moment < self.until
        if moment >= self.start:
            return self._on(day)
        return moment < self.until and self._on(day - 1)  # it began the day before

    def local(self, at: datetime) -> str:
        """Say when *at* is where these hours count."""
        return f"{at.astimezone(self._zone):%A %H:%M} ({self.zone})"

    def _on(self, weekday: int) -> bool:
        return self.days is None or _DAYS[weekday % 7] in self.days

    def __str__(self) -> str:
        """Describe them in words."""
        days = ", ".join(day for day in _DAYS if self.days is None or day in self.days)
        until = "24:00" if self.until == time.max else f"{self.until:%H:%M}"
        return f"{days} {self.start:%H:%M} to {until} ({self.zone})"
