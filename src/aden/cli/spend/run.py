"""Read the journal, add it up, print it in the shape that was asked for."""

import argparse
import contextlib
import sys
import time
from collections.abc import Mapping

from aden.budgets.note import Note
from aden.cli.budgets.state import notes_of
from aden.cli.ledgers import ledger_to_read, say
from aden.cli.lines import Lines
from aden.cli.period import moment, zone_of
from aden.cli.spend.live import live
from aden.cli.spend.report import DIMENSIONS, reads_from, report
from aden.cli.spend.shapes import as_json, table, write_csv, write_focus
from aden.errors import ConfigurationError
from aden.ledger import Ledger

NOW = "0m"


def add_spend(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command's arguments."""
    spend = commands.add_parser("spend", help="what was spent, by model, day, customer …")
    spend.add_argument("--by", choices=tuple(DIMENSIONS), default="model", help="default: model")
    spend.add_argument("--since", default="30d", help="24h, 7d, 2026-11-01 (default 30d)")
    spend.add_argument("--until", default=NOW, help="default: now")
    spend.add_argument("--timezone", default="UTC", help="of days and months (default UTC)")
    spend.add_argument("--ledger", help="default: ADEN_LEDGER, or this user's ledger file")
    shape = spend.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="for programs")
    shape.add_argument("--csv", action="store_true", help="one line a group")
    shape.add_argument("--live", action="store_true", help="a bar for each budget, until Ctrl-C")
    shape.add_argument("--focus", action="store_true", help="CSV as FOCUS 1.0, for finance tools")
    spend.add_argument("--account", default="aden", help="BillingAccountId in --focus")
    spend.set_defaults(run=run_spend)


def run_spend(chosen: argparse.Namespace) -> int:
    """Carry the command out; before the first call it says so.

    Raises:
        ConfigurationError: A moment, a time zone or the ledger is wrong.
    """
    now, zone = time.time(), zone_of(chosen.timezone)
    since = moment(chosen.since, "--since", now, zone)
    until = min(now, moment(chosen.until, "--until", now, zone))  # a pace has no future
    if since >= until:
        before = "now" if until == now else f"--until {chosen.until}"
        raise ConfigurationError("--since", chosen.since, f"a moment before {before}")
    ledger, nothing = ledger_to_read(chosen.ledger)
    for_program = chosen.focus or chosen.csv or chosen.json
    try:
        if nothing is not None:
            say(nothing, aside=for_program)
            if not for_program:
                return 0
        if chosen.live:
            with contextlib.suppress(KeyboardInterrupt):
                live(ledger)
            return 0
        # What was booked since then: a call is seen before it is booked.
        records = Lines(ledger, reads_from(since, until, zone))
        if chosen.focus:
            within = (record for record in records if since <= record.at < until)
            write_focus(within, chosen.account, sys.stdout)
            _say_cut(records, aside=True)
            return 0
        made = report(records, chosen.by, since, until, zone)
        unconfirmed = _unconfirmed(ledger)
        made.confirmed = _confirmed(ledger, since, until)
    finally:
        ledger.close()
    if nothing is None and not made.total.calls:
        said = f"No call was booked in {ledger.url} since {chosen.since}"
        say(said + ("" if chosen.until == NOW else f" until {chosen.until}"), aside=for_program)
    if chosen.csv:
        write_csv(made, sys.stdout)
    else:
        print(as_json(made, unconfirmed) if chosen.json else table(made, unconfirmed))
    _say_cut(records, aside=for_program)
    return 0


def _say_cut(records: Lines, *, aside: bool) -> None:
    if records.cut is not None:
        say(records.cut if aside else f"\n{records.cut}", aside=aside)


def _unconfirmed(ledger: Ledger) -> int:
    """Nano-dollars that were booked for calls whose process died and that nobody has corrected.

    A call is counted once, however many budgets it counts against.
    """
    notes = notes_of(ledger)
    total = 0
    for held in ledger.holds():
        if held.state == "unconfirmed":
            risks = zip(held.holds, held.at_risk, strict=True)
            total += max((risk for hold, risk in risks if _in_money(notes, hold.budget)), default=0)
    return total


def _confirmed(ledger: Ledger, since: float, until: float) -> int:
    """Nano-dollars of such calls that an operator has confirmed then; no journal has them."""
    notes = notes_of(ledger)
    calls: dict[str, int] = {}
    for entry in ledger.audit():
        if entry.operation is None or not since <= entry.at < until:
            continue
        if _in_money(notes, entry.budget):
            calls[entry.operation] = max(calls.get(entry.operation, 0), entry.after or 0)
    return sum(calls.values())


def _in_money(notes: Mapping[str, Note], budget: str) -> bool:
    note = notes.get(budget.partition("|")[0])
    return note is None or note.limit.unit == "usd"
