"""``aden spend --live``: a bar for each budget and the pace of spending, once a second."""

import sys
import time
from typing import TextIO
from zoneinfo import ZoneInfo

from aden.cli.budgets.shapes import table
from aden.cli.budgets.state import standings
from aden.cli.spend.report import report
from aden.core.money import format_usd
from aden.ledger import Ledger

EVERY_S = 1.0
CLEAR = "\x1b[H\x1b[2J"
LINES = 40
"""Budgets shown; the fullest come first."""


def live(
    ledger: Ledger, zone: ZoneInfo, out: TextIO = sys.stdout, frames: int | None = None
) -> None:
    """Draw until interrupted, or *frames* times; on a terminal each frame replaces the last."""
    drawn = 0
    while True:
        shown = frame(ledger, zone)
        out.write(f"{CLEAR}{shown}\n" if out.isatty() else f"{shown}\n\n")
        out.flush()
        drawn += 1
        if drawn == frames:
            return
        time.sleep(EVERY_S)


def frame(ledger: Ledger, zone: ZoneInfo) -> str:
    """One picture."""
    now = time.time()
    found = [each for each in standings(ledger) if each.current]
    found.sort(key=lambda each: (-(each.percent or 0.0), each.budget))
    made = report(ledger.journal(now - 3600), "model", now - 3600, now, zone)
    lines = [table(found[:LINES])]
    if len(found) > LINES:
        lines.append(f"… and {len(found) - LINES} more")
    lines.append("")
    lines.append(f"last hour  {format_usd(made.total.cost)}  ({made.total.calls} calls)")
    lines += [f"  {key:<30} {format_usd(sums.cost)}" for key, sums in made.rows()[:8]]
    return "\n".join(lines)
