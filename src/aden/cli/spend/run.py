"""Read the journal, add it up, print it in the shape that was asked for."""

import argparse
import sys
import time

from aden.cli.ledgers import ledger_here
from aden.cli.period import moment, zone_of
from aden.cli.spend.report import DIMENSIONS, report
from aden.cli.spend.shapes import as_json, table, write_csv, write_focus


def add_spend(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command's arguments."""
    spend = commands.add_parser("spend", help="what was spent, by model, day, customer …")
    spend.add_argument("--by", choices=tuple(DIMENSIONS), default="model", help="default: model")
    spend.add_argument("--since", default="30d", help="24h, 7d, 2026-11-01 (default 30d)")
    spend.add_argument("--until", default="0m", help="default: now")
    spend.add_argument("--timezone", default="UTC", help="of days and months (default UTC)")
    spend.add_argument("--ledger", help="default: ADEN_LEDGER, or this user's ledger file")
    shape = spend.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="for programs")
    shape.add_argument("--csv", action="store_true", help="one line a group")
    shape.add_argument("--focus", action="store_true", help="CSV as FOCUS 1.0, for finance tools")
    spend.add_argument("--account", default="aden", help="BillingAccountId in --focus")
    spend.set_defaults(run=run_spend)


def run_spend(chosen: argparse.Namespace) -> int:
    """Carry the command out.

    Raises:
        ConfigurationError: A moment, a time zone or the ledger is wrong.
    """
    now, zone = time.time(), zone_of(chosen.timezone)
    since = moment(chosen.since, "--since", now, zone)
    until = moment(chosen.until, "--until", now, zone)
    ledger = ledger_here(chosen.ledger)
    try:
        records = ledger.journal(since)  # booked since then; a call is seen before it is booked
        if chosen.focus:
            within = (record for record in records if since <= record.at < until)
            write_focus(within, chosen.account, sys.stdout)
            return 0
        made = report(records, chosen.by, since, until, zone)
    finally:
        ledger.close()
    if chosen.csv:
        write_csv(made, sys.stdout)
    else:
        print(as_json(made, None) if chosen.json else table(made, None))
    return 0
