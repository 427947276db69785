"""``aden reconcile``: the provider's own usage export against the journal, a line a model and day.

Reads the CSV files that OpenAI's usage page exports (``start_time``, ``model``, ``input_tokens`` …)
and others whose columns bear one of the names in `_NAMES`.
"""

import argparse
import csv
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from aden.cli.ledgers import ledger_here, say
from aden.cli.lines import Lines
from aden.cli.spend.shapes import cut
from aden.core.money import format_usd, to_usd
from aden.core.record import CallRecord
from aden.core.request import task_of
from aden.errors import ConfigurationError

_NAMES: Mapping[str, tuple[str, ...]] = {
    "day": ("start_time_iso", "start_time", "date", "day", "timestamp"),
    "model": ("model", "snapshot_id", "model_name"),
    "requests": ("num_model_requests", "num_requests", "requests", "n_requests"),
    "input": ("input_tokens", "prompt_tokens", "n_context_tokens_total"),
    "output": ("output_tokens", "completion_tokens", "n_generated_tokens_total"),
}
"""What the columns that are read may be called; the first that the file has is taken."""
_DELIMITERS = ",;\t"
"""What may stand between fields: spreadsheets of many countries write semicolons."""
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
Key = tuple[str, str]
"""Day in UTC, and model."""


@dataclass(slots=True)
class Counts:
    """What one side counted for a model and day."""

    requests: int = 0
    input: int = 0
    output: int = 0
    cost: int = 0
    """Nano-dollars; only our side knows it."""
    estimated: int = 0
    """Calls of ours without a usage from the provider."""

    def add(self, other: "Counts") -> None:
        """Count what the other counted as well."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(slots=True)
class Drift:
    """Both sides of one model and day."""

    day: str
    model: str
    theirs: Counts = field(default_factory=Counts)
    ours: Counts = field(default_factory=Counts)

    @property
    def percent(self) -> float:
        """By how much our tokens differ from theirs; 100 where only one side has any.

        Input or output, whichever differs more: they have prices of their own, so too much of the
        one does not make up for too little of the other.
        """
        sides = ((self.theirs.input, self.ours.input), (self.theirs.output, self.ours.output))
        return max((_drift(theirs, ours) for theirs, ours in sides), key=abs)


def _drift(theirs: int, ours: int) -> float:
    if not theirs:
        return 100.0 if ours else 0.0
    return 100 * (ours - theirs) / theirs


@dataclass(frozen=True, slots=True)
class Export:
    """The provider's counts, and the days that they are about."""

    counts: Mapping[Key, Counts]
    first: str
    last: str
    """All days between are compared; exports leave out those without usage, or show them empty."""

    @property
    def since(self) -> float:
        """Unix second at which the first day begins."""
        return datetime.fromisoformat(self.first).replace(tzinfo=UTC).timestamp()


def read_export(path: Path) -> Export:
    """The provider's counts.

    Raises:
        ConfigurationError: The file cannot be read, lacks a column, has a line that is no usage, or
            nothing but its header.
    """
    counted: dict[Key, Counts] = {}
    days: set[str] = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            between = max(_DELIMITERS, key=header.count)
            lines = csv.DictReader(chain((header,), file), delimiter=between)
            columns = _columns(path, lines.fieldnames or ())
            for line in lines:
                where = f"{path}: line {lines.line_num}"
                if not any((line.get(name) or "").strip() for name in columns.values()):
                    continue
                _check_length(line, where)
                day, model = _day(line[columns["day"]], where), line.get(columns["model"]) or ""
                days.add(day)
                if not model.strip() and _is_empty(line, columns):
                    continue  # a day without usage, as OpenAI exports it
                counts = counted.setdefault((day, model.strip()), Counts())
                for name in ("requests", "input", "output"):
                    amount = _count(line.get(columns.get(name, "")), name, where)
                    setattr(counts, name, getattr(counts, name) + amount)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError("usage export", str(path), f"a CSV file ({error})") from error
    if not counted:
        allowed = "a file with usage in it; this one has none, so there is nothing to compare"
        raise ConfigurationError("usage export", str(path), allowed)
    return Export(counted, min(days), max(days))


def _check_length(line: Mapping[str | None, str | list[str] | None], where: str) -> None:
    """Refuse a line that was cut off, or whose fields have moved, as 1,000 without quotes does."""
    beyond = line.get(None) or []
    if None in line.values() or any(beyond):
        had = [*line.values()][: len(line) - (None in line)]
        count = sum(each is not None for each in had) + len(beyond)
        raise ConfigurationError(where, f"{count} fields", f"{len(had)}, as the header has")


def _columns(path: Path, fields: Iterable[str]) -> dict[str, str]:
    known = {name.strip().lower(): name for name in fields if name}
    found = {
        meaning: known[name]
        for meaning, names in _NAMES.items()
        for name in reversed(names)
        if name in known
    }
    for meaning in ("day", "model", "input", "output"):
        if meaning not in found:
            allowed = f"a column for the {meaning}: " + ", ".join(_NAMES[meaning])
            if "amount_value" in known:
                allowed += "; this is an export of costs, not of usage"
            raise ConfigurationError(f"{path}: header", ", ".join(known.values()), allowed)
    return found


def _is_empty(line: Mapping[str, str | None], columns: Mapping[str, str]) -> bool:
    counts = (columns.get(name, "") for name in ("requests", "input", "output"))
    return not any((line.get(name) or "0").strip("0.") for name in counts)


def _day(text: str | None, where: str) -> str:
    text = (text or "").strip()
    try:
        if re.fullmatch(r"\d{9,10}(\.0+)?", text):
            return datetime.fromtimestamp(float(text), UTC).date().isoformat()
        then = datetime.fromisoformat(text)
        return (then.astimezone(UTC) if then.tzinfo else then).date().isoformat()
    except (ValueError, OverflowError):
        allowed = "an ISO 8601 date or Unix seconds"
        raise ConfigurationError(f"{where}: day", text, allowed) from None


def _count(text: str | None, name: str, where: str) -> int:
    text = (text or "").strip()
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,15}(\.0+)?", text):
        raise ConfigurationError(f"{where}: {name}", text, "a whole number from 0")
    return int(text.partition(".")[0])


def compare(export: Export, records: Iterable[CallRecord]) -> list[Drift]:
    """Both sides, a model and day, of the providers and the kind of models that the export is of.

    Those are the ones of which it names a model: OpenAI exports completions, embeddings and images
    each to a file of its own. Where it names none of ours, all are compared.
    """
    undated = {(day, _DATED.sub("", model)): model for day, model in export.counts}
    ours: dict[tuple[Key, str], Counts] = {}
    named: set[str] = set()
    kinds = {task_of(model) for _, model in export.counts}
    for record in records:
        day = datetime.fromtimestamp(record.at, UTC).date().isoformat()
        if not export.first <= day <= export.last or not record.attempts:
            continue
        key = day, _their_model(record, day, export.counts, undated)
        if key in export.counts:
            named.add(record.provider)
        _add(ours.setdefault((key, record.provider), Counts()), record)
    drifts = {key: Drift(*key, counts) for key, counts in export.counts.items()}
    for (key, provider), counts in ours.items():
        is_speech = not counts.input + counts.output and key not in drifts
        is_of_it = not named or (provider in named and task_of(key[1]) in kinds)
        if is_of_it and not is_speech:
            drifts.setdefault(key, Drift(*key)).ours.add(counts)
    return [drifts[key] for key in sorted(drifts)]


def _their_model(
    record: CallRecord, day: str, counts: Mapping[Key, Counts], undated: Mapping[Key, str]
) -> str:
    """The name under which the export has this call: as answered, as sent, or without its date."""
    names = [name for name in (record.response_model, record.model) if name]
    for name in (*names, *(_DATED.sub("", name) for name in names)):
        if (day, name) in counts:
            return name
    return next((undated[day, name] for name in names if (day, name) in undated), names[0])


def _add(ours: Counts, record: CallRecord) -> None:
    ours.requests += record.attempts
    ours.input += record.usage.input_tokens or 0
    ours.output += record.usage.output_tokens or 0
    ours.cost += record.cost
    ours.estimated += record.usage.estimated


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
            f"{drift.day:<11}{cut(drift.model, 27):<28}{theirs.input:>13,}{ours.input:>13,}"
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
