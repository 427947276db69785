"""Windows of a budget, worked out from a clock reading at the moment of asking; nothing resets."""

import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from aden.core.value import value
from aden.errors import ConfigurationError, did_you_mean

Period = Literal["total", "session", "month", "week", "day", "hour"]
PERIODS: tuple[str, ...] = get_args(Period)
ALLOWED = " | ".join((*PERIODS, "rolling and a time such as 'rolling 15m' (s, m, h, d; to 366d)"))

SLICES = 30
"""Into how many slices a rolling window is cut, at most."""
MAX_ROLLING_S = 366 * 86_400
_ROLLING = re.compile(r"rolling ([1-9]\d{0,8}) ?([smhd])", re.ASCII)
_SLICE_ID = re.compile(r"rolling:(\d+):(\d+)", re.ASCII)
_SERIES_ID = re.compile(r"rolling:(\d+)(?::\d+)?", re.ASCII)
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@value
class Span:
    """One concrete window: its id in a ledger and the unix second at which it ends."""

    id: str
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last *seconds* seconds, kept as slices of whole seconds, at most 30 and the one begun.

    What a call spends is booked in the slice of its reserve and counts until that slice is wholly
    out of the window: never less than *seconds*, and at most one slice (a thirtieth, or a second)
    longer. So the limit holds over any *seconds*. Where the clock was set back, slices up to
    *seconds* ahead of it count as well, for they were spent just now.
    """

    seconds: int

    @property
    def width(self) -> int:
        """Seconds that a slice lasts."""
        return -(-self.seconds // SLICES)

    def start(self, at: float) -> int:
        """The unix second at which the slice of the moment *at* begins."""
        return math.floor(at / self.width) * self.width

    def starts(self, now: float) -> range:
        """The beginnings of all slices that count now, the oldest first."""
        first, last = self.start(now - self.seconds), self.start(now + self.seconds)
        return range(first, last + 1, self.width)

    def slice(self, start: int) -> Span:
        """The slice that begins at *start*; its end is when it stops counting.

        Ids of a window's slices sort like their beginnings.
        """
        return Span(self.id(start), float(start + self.width + self.seconds))

    def id(self, start: int) -> str:
        """The id of the slice that begins at *start*."""
        return f"rolling:{self.seconds}:{start:012d}"

    @property
    def series(self) -> str:
        """What the ids of all slices begin with."""
        return f"rolling:{self.seconds}"


def slice_of(window_id: str) -> tuple[Rolling, int] | None:
    """The rolling window and the beginning of the slice that has this id; None for other ids."""
    found = _SLICE_ID.fullmatch(window_id)
    return (Rolling(int(found[1])), int(found[2])) if found else None


def rolling_of(window_id: str) -> Rolling | None:
    """The rolling window that an id names, as a whole or by one of its slices; None for others."""
    found = _SERIES_ID.fullmatch(window_id)
    return Rolling(int(found[1])) if found else None


@dataclass(frozen=True, slots=True)
class Window:
    """A calendar period in a time zone, the whole life of a budget or a session, or the last while.

    Rolling windows are written ``rolling 90s``, ``rolling 15m``, ``rolling 24h``, ``rolling 7d``.
    """

    period: str = "total"
    timezone: str = "UTC"
    rolling: Rolling | None = field(init=False, repr=False, compare=False)
    """How it rolls; None for a window with fixed ends."""

    def __post_init__(self) -> None:
        if not is_period(self.period):
            allowed = ALLOWED + did_you_mean(self.period, PERIODS)
            raise ConfigurationError("window", self.period, allowed)
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError):
            allowed = "an IANA time zone such as Europe/Berlin"
            allowed += did_you_mean(self.timezone, available_timezones())
            raise ConfigurationError("timezone", self.timezone, allowed) from None
        object.__setattr__(self, "rolling", _rolling(self.period))

    def at(self, now: float) -> Span:
        """The window that contains the unix second *now*; of a rolling one, the slice."""
        if (endless := _ENDLESS.get(self.period)) is not None:
            return endless
        if rolling := self.rolling:
            return rolling.slice(rolling.start(now))
        return _calendar_span(self.period, self.timezone, int(now // 60))


def is_period(text: object) -> bool:
    """Whether a window may be written so."""
    return isinstance(text, str) and (text in PERIODS or _rolling(text) is not None)


@lru_cache(maxsize=1024)
def _rolling(period: str) -> Rolling | None:
    found = _ROLLING.fullmatch(period)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    return Rolling(seconds) if 0 < seconds <= MAX_ROLLING_S else None


_ENDLESS = {period: Span(period, None) for period in ("total", "session")}


@lru_cache(maxsize=1024)
def _calendar_span(period: str, timezone: str, minute: int) -> Span:
    """The span that contains a minute since 1970, within which none begins: worked out once."""
    local = datetime.fromtimestamp(minute * 60, ZoneInfo(timezone))
    if period == "hour":  # a repeated hour at the end of summer time is an hour of its own
        offset = round((local.utcoffset() or timedelta()).total_seconds())
        begin = (minute * 60 + offset) // 3600 * 3600 - offset
        return Span(f"hour:{begin}", begin + 3600.0)
    start = _start(period, local)
    end = _start(period, _beyond(period, start))
    return Span(f"{period}:{start.date().isoformat()}", end.timestamp())


def _start(period: str, local: datetime) -> datetime:
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "week":
        return day - timedelta(days=day.weekday())
    if period == "month":
        return day.replace(day=1)
    return day


def _beyond(period: str, start: datetime) -> datetime:
    """Some moment in the next period (wall-clock arithmetic, so it follows summer time)."""
    days = {"day": 1, "week": 7, "month": 32}[period]
    return start + timedelta(days=days)
