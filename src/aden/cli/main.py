"""``aden`` and its commands."""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from aden.cli.budgets.run import add_budgets
from aden.cli.demo.command import add_demo
from aden.cli.doctor import add_doctor
from aden.cli.prices import add_prices
from aden.cli.reconcile.run import add_reconcile
from aden.cli.spend.run import add_spend
from aden.errors import ConfigurationError, LedgerError

COMMANDS = (add_demo, add_spend, add_budgets, add_reconcile, add_prices, add_doctor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 2 where it was asked wrongly or cannot be done."""
    parser = argparse.ArgumentParser(
        prog="aden", description="Budgets, exact cost and OpenTelemetry for LLM voice agents."
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="command")
    for add in COMMANDS:
        add(commands)
    chosen = parser.parse_args(arguments)
    if chosen.version:
        from aden.version import aden_version

        print(aden_version())
        return 0
    if chosen.command is None:
        parser.print_help(sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Labels are anybody's and may be no text; few old encodings have bars and arrows.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = int(chosen.run(chosen))
        sys.stdout.flush()  # while somebody hears of a pipe that is closed
        return code
    except (ConfigurationError, LedgerError) as error:
        print(f"aden: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `aden spend | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
