"""Windows of a budget, worked out from a clock reading at the moment of asking; nothing resets."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aden.errors import ConfigurationError

Period = Literal["total", "month", "week", "day", "hour"]
PERIODS: tuple[str, ...] = get_args(Period)


@dataclass(frozen=True, slots=True)
class Span:
    """One concrete window: its id in a ledger and the unix second at which it ends."""

    id: str
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """A calendar period in a time zone, or the budget's whole life (``total``)."""

    period: Period = "total"
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if self.period not in PERIODS:
            raise ConfigurationError("window", self.period, " | ".join(PERIODS))
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError):
            allowed = "an IANA time zone such as Europe/Berlin"
            raise ConfigurationError("timezone", self.timezone, allowed) from None

    def at(self, now: float) -> Span:
        """The window that contains the unix second *now*."""
        if self.period == "total":
            return Span("total", None)
        zone = ZoneInfo(self.timezone)
        local = datetime.fromtimestamp(now, zone)
        start = _start(self.period, local)
        end = _start(self.period, _beyond(self.period, start))
        if self.period == "hour":  # a repeated hour at the end of summer time is an hour of its own
            return Span(f"hour:{int(start.timestamp())}", start.timestamp() + 3600)
        return Span(f"{self.period}:{start.date().isoformat()}", end.timestamp())


def _start(period: Period, local: datetime) -> datetime:
    if period == "hour":
        return local.replace(minute=0, second=0, microsecond=0)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "week":
        return day - timedelta(days=day.weekday())
    if period == "month":
        return day.replace(day=1)
    return day


def _beyond(period: Period, start: datetime) -> datetime:
    """Some moment in the next period (wall-clock arithmetic, so it follows summer time)."""
    days = {"hour": 1 / 24, "day": 1, "week": 7, "month": 32}[period]
    return start + timedelta(days=days)
