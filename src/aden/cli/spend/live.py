"""``aden spend --live``: a bar for each budget and the pace of spending, once a second."""

import os
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import TextIO

from aden.cli.budgets.shapes import narrow_table, table
from aden.cli.budgets.state import Standing, standings
from aden.cli.cells import cell
from aden.core.money import format_usd
from aden.errors import LedgerError
from aden.ledger import Ledger

EVERY_S = 1.0
CLEAR = "\x1b[H\x1b[2J"
LINES = 40
"""Budgets shown, where the terminal has room for them; the fullest come first."""
MODELS = 8
"""Models shown, and in a low terminal a quarter of its lines."""
FOLLOWED = 400
"""Budgets, the fullest, that are read for each frame."""
ALL_EVERY_S = 10.0
ALL_SHARE = 20
"""All budgets are read so seldom, and again only after so many times as long as that took."""
HOUR_S = 3600.0
OVERLAP_S = 60.0
"""How far the ledger's clock may be from ours."""


class LiveView:
    """What stands in a frame, without reading the whole ledger for each."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._hour = LastHour(ledger)
        self._found: list[Standing] = []
        self._all_at = 0.0

    def frame(self, size: os.terminal_size | None = None) -> str:
        """One picture, no larger than a terminal of *size*; None: there is none."""
        found = self._standings()
        calls, costs = self._hour.look(time.time())
        models = MODELS if size is None else min(MODELS, size.lines // 4)
        dearest = sorted(costs.items(), key=lambda each: (-each[1], each[0]))[:models]
        pace = ["", f"last hour  {format_usd(costs.total())}  ({calls} calls)"]
        pace += [f"  {cell(model, 30)} {format_usd(cost)}" for model, cost in dearest]
        # Its last line is the cursor's, and one says how many more budgets there are.
        most = LINES if size is None else max(1, min(LINES, size.lines - len(pace) - 2))
        shown = found[:most]
        lines = [table(shown) if size is None else narrow_table(shown, size.columns)]
        if len(found) > most:
            lines.append(f"… and {len(found) - most} more")
        return "\n".join([*lines, *pace])

    def _standings(self) -> list[Standing]:
        started = time.monotonic()
        if started >= self._all_at:
            self._found = [each for each in standings(self._ledger) if each.current]
            ended = time.monotonic()
            self._all_at = ended + max(ALL_EVERY_S, ALL_SHARE * (ended - started))
        else:
            self._follow()
        self._found.sort(key=lambda each: (-(each.percent or 0.0), each.budget))
        return self._found

    def _follow(self) -> None:
        followed, rest = self._found[:FOLLOWED], self._found[FOLLOWED:]
        windows = {each.budget: each.note.window for each in followed if each.note is not None}
        balances = {each.budget: each for each in self._ledger.balances(list(windows.items()))}
        for place, each in enumerate(followed):
            if balance := balances.get(each.budget):
                rolling = windows[each.budget].rolling
                window_id = rolling.series if rolling else balance.window_id
                followed[place] = replace(each, balance=replace(balance, window_id=window_id))
        self._found = followed + rest


class LastHour:
    """What the calls of the last hour cost; each line of the journal is read and counted once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._calls: Counter[int] = Counter()
        self._costs: dict[int, Counter[str]] = {}  # by minute, as the calls are
        self._counted: set[str] = set()
        self._read_to = 0.0

    def look(self, now: float) -> tuple[int, Counter[str]]:
        """How many calls were sent, and the nano-dollars of each model."""
        first = now - HOUR_S
        read = set()
        for record in self._ledger.journal(max(first, self._read_to) - OVERLAP_S):
            read.add(record.id)
            if record.id in self._counted or record.at < first:
                continue
            minute = int(record.at // 60)
            self._calls[minute] += record.repeats if record.attempts else 0
            self._costs.setdefault(minute, Counter())[record.model] += record.cost
        self._counted, self._read_to = read, now
        for minute in [each for each in self._costs if (each + 1) * 60 <= first]:
            del self._calls[minute], self._costs[minute]
        return self._calls.total(), sum(self._costs.values(), Counter())


def live(ledger: Ledger, out: TextIO = sys.stdout, frames: int | None = None) -> None:
    """Draw until interrupted, or *frames* times; on a terminal each frame replaces the last.

    Raises:
        LedgerError: The ledger does not answer at the start. Later the view waits for it.
    """
    drawn = 0
    view = LiveView(ledger)
    while True:
        try:
            shown = view.frame(_size(out))
        except LedgerError as error:
            if not drawn:
                raise
            shown = f"aden: {error}\nThe view goes on when it answers again."
        out.write(f"{CLEAR}{shown}\n" if out.isatty() else f"{shown}\n\n")
        out.flush()
        drawn += 1
        if drawn == frames:
            return
        time.sleep(EVERY_S)


def _size(out: TextIO) -> os.terminal_size | None:
    """How large the terminal is; None where there is none, or it does not say."""
    try:
        size = os.get_terminal_size(out.fileno())
    except (OSError, ValueError):
        return None
    return size if size.columns and size.lines else None
