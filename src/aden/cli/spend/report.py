"""The journal added up: pure, in one pass."""

from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from aden.core.record import CallRecord
from aden.core.sums import Sums

NOT_SAID = "-"
"""The key of calls whose label nobody gave."""


Key = Callable[[CallRecord, ZoneInfo], str]


def day_of(record: CallRecord, zone: ZoneInfo) -> str:
    """The calendar day of a call, as ``2026-11-22``."""
    return datetime.fromtimestamp(record.at, zone).date().isoformat()


DIMENSIONS: Mapping[str, Key] = {
    "model": lambda record, _: record.model,
    "provider": lambda record, _: record.provider,
    "day": day_of,
    "session": lambda record, _: record.attribution.session_id or NOT_SAID,
    "customer": lambda record, _: record.attribution.customer_id or NOT_SAID,
    "tenant": lambda record, _: record.attribution.tenant_id or NOT_SAID,
    "feature": lambda record, _: record.attribution.feature or NOT_SAID,
    "agent": lambda record, _: record.attribution.agent or NOT_SAID,
    "user": lambda record, _: record.attribution.user_id or NOT_SAID,
    "component": lambda record, _: record.component,
    "budget": lambda record, _: record.budget_id or NOT_SAID,
    "decision": lambda record, _: record.decision.action,
}
"""By what calls may be grouped."""


@dataclass(slots=True)
class Report:
    """The calls of a period, by one dimension, and the pace of spending."""

    by: str
    since: float
    until: float
    """Unix seconds; `until` is not included."""
    zone: ZoneInfo
    groups: dict[str, Sums] = field(default_factory=dict)
    total: Sums = field(default_factory=Sums)
    last_hour: int = 0
    last_day: int = 0
    month: int = 0
    """Nano-dollars of the hour and the day before `until`, and of its calendar month so far."""
    confirmed: int = 0
    """Nano-dollars that operators have confirmed for processes that died; in no group."""

    def add(self, record: CallRecord) -> None:
        """Count a call where it belongs."""
        if not reads_from(self.since, self.until, self.zone) <= record.at < self.until:
            return
        self.last_hour += record.cost if record.at >= self.until - 3600 else 0
        self.last_day += record.cost if record.at >= self.until - 86_400 else 0
        self.month += record.cost if record.at >= _month_start(self.until, self.zone) else 0
        if record.at >= self.since:
            key = DIMENSIONS[self.by](record, self.zone)
            self.groups.setdefault(key, Sums()).add(record)
            self.total.add(record)

    @property
    def projected_month(self) -> int:
        """Nano-dollars of this calendar month, if it goes on at the rate of the last 24 hours."""
        left_s = _month_end(self.until, self.zone) - self.until
        return self.month + round(self.last_day * left_s / 86_400)

    def rows(self) -> list[tuple[str, Sums]]:
        """The groups, the dearest first; days in their order."""
        if self.by == "day":
            return sorted(self.groups.items())
        return sorted(self.groups.items(), key=lambda group: (-group[1].cost, group[0]))


def reads_from(since: float, until: float, zone: ZoneInfo) -> float:
    """Unix second of the oldest call that matters to a report."""
    return min(since, until - 86_400, _month_start(until, zone))


def report(
    records: Iterable[CallRecord], by: str, since: float, until: float, zone: ZoneInfo
) -> Report:
    """Add up *records*."""
    made = Report(by, since, until, zone)
    for record in records:
        made.add(record)
    return made


def _month_start(at: float, zone: ZoneInfo) -> float:
    then = datetime.fromtimestamp(at, zone)
    return then.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def _month_end(at: float, zone: ZoneInfo) -> float:
    then = datetime.fromtimestamp(at, zone)
    days = monthrange(then.year, then.month)[1]
    last = then.replace(day=days, hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return (last + timedelta(days=1)).replace(tzinfo=zone).timestamp()
