"""Where spend is booked, who shares it, and how fast it answers."""

import statistics
import time
from collections.abc import Iterable

from aden.core.window import Window
from aden.doctor.finding import Finding, Level
from aden.doctor.subject import Subject
from aden.errors import LedgerError

ASKS = 7
SLOW_MS = 50.0
_NOBODY = ("aden-doctor", Window("total"))


def ledger(subject: Subject) -> Iterable[Finding]:
    """Its name and reach, whether it lasts, and the time of a look at the balances."""
    book, policy = subject.meter.ledger, subject.meter.policy()
    alone = book.reach == "process" and bool(policy.budgets)
    said = f"{book.url}, reaches the {book.reach}"
    if alone:
        said += ": each process has the whole of every budget; name a shared one in ADEN_LEDGER"
    facts = {"url": book.url, "reach": book.reach}
    yield Finding("ledger", "place", said, "warning" if alone else "ok", facts)
    if subject.ledger_doubt is not None:
        yield Finding("ledger", "lasts", f"no: {subject.ledger_doubt}", "warning")
    asked = [(each.id, each.span) for each in policy.budgets[:50] if not each.scope]
    took = []
    for _ in range(ASKS):
        started = time.perf_counter()
        try:
            book.balances(asked or [_NOBODY])
        except LedgerError as error:
            yield Finding("ledger", "answers", f"no: {error}", "failure")
            return
        took.append((time.perf_counter() - started) * 1000)
    median, worst = statistics.median(took), max(took)
    level: Level = "warning" if median > SLOW_MS else "ok"
    said = f"in {median:.2f} ms (median of {ASKS}, {worst:.2f} ms at most)"
    times = {"median_ms": round(median, 3), "max_ms": round(worst, 3)}
    yield Finding("ledger", "answers", said, level, times)
