"""Read the export and the journal, compare them, print what came out."""

import argparse
import json
import math
from pathlib import Path

from aden.cli.cells import cell
from aden.cli.ledgers import ledger_here, say
from aden.cli.lines import Lines
from aden.cli.reconcile.compare import Drift, compare
from aden.cli.reconcile.counts import Counts
from aden.cli.reconcile.export import read_export
from aden.core.money import format_usd, to_usd
from aden.errors import ConfigurationError


def add_reconcile(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command's arguments."""
    reconcile = commands.add_parser(
        "reconcile", help="the provider's own usage export against the journal"
    )
    reconcile.add_argument("export", type=Path, help="CSV file of the provider's usage page")
    reconcile.add_argument("--ledger", help="default: ADEN_LEDGER, or this user's ledger file")
    reconcile.add_argument(
        "--tolerance", type=float, default=1.0, help="per cent of drift that passes (default 1)"
    )
    reconcile.add_argument("--json", action="store_true", help="for programs")
    reconcile.set_defaults(run=run_reconcile)


def run_reconcile(chosen: argparse.Namespace) -> int:
    """Compare and print; gives 1 where a model's day drifts by more than the tolerance.

    Raises:
        ConfigurationError: The export or the ledger cannot be read, or the tolerance is none.
    """
    if not 0 <= chosen.tolerance < math.inf:
        raise ConfigurationError("--tolerance", chosen.tolerance, "per cent, 0 or more")
    export = read_export(chosen.export)
    ledger = ledger_here(chosen.ledger)
    records = Lines(ledger, export.since)
    try:
        drifts = compare(export, records)
    finally:
        ledger.close()
    if records.cut is not None:
        say(records.cut, aside=True)
    print(_json(drifts) if chosen.json else _table(drifts, chosen.tolerance))
    return 1 if any(abs(drift.percent) > chosen.tolerance for drift in drifts) else 0


def _table(drifts: list[Drift], tolerance: float) -> str:
    head = (
        f"{'day':<11}{'model':<28}{'their input':>13}{'ours':>13}{'their output':>14}{'ours':>12}"
        f"{'drift':>10}{'estimated':>11}{'our cost':>13}"
    )
    lines = [head, "-" * len(head)]
    for drift in drifts:
        theirs, ours = drift.theirs, drift.ours
        mark = "  <" if abs(drift.percent) > tolerance else ""
        lines.append(
            f"{drift.day:<11}{cell(drift.model, 27)} {theirs.input:>13,}{ours.input:>13,}"
            f"{theirs.output:>14,}{ours.output:>12,}{drift.percent:>+9.2f}%"
            f"{ours.estimated:>11}{format_usd(ours.cost):>13}{mark}"
        )
    beyond = sum(abs(drift.percent) > tolerance for drift in drifts)
    lines.append("")
    lines.append(f"{beyond} of {len(drifts)} differ by more than {tolerance:g} %")
    return "\n".join(lines)


def _json(drifts: list[Drift]) -> str:
    def side(counts: Counts) -> dict[str, int]:
        return {"requests": counts.requests, "input": counts.input, "output": counts.output}

    rows = [
        {
            "day": drift.day,
            "model": drift.model,
            "provider": side(drift.theirs),
            "aden": {
                **side(drift.ours),
                "estimated_calls": drift.ours.estimated,
                "cost_usd": to_usd(drift.ours.cost),
            },
            "drift_percent": round(drift.percent, 4),
        }
        for drift in drifts
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False)
