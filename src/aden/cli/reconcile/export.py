"""The usage export of a provider: CSV in, what it counted for each model and day out.

Read are the files of OpenAI's usage page (``start_time``, ``model``, ``input_tokens`` …), of
Anthropic's (``usage_date_utc``, ``model_version`` …), and others whose columns bear one of these
names; spreadsheets may have saved them again.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path

from aden.cli.reconcile.counts import Counts
from aden.errors import ConfigurationError

Line = Mapping[str | None, str | list[str] | None]
"""A line of a CSV file by its column; under None what is beyond the last."""
Key = tuple[str, str]
"""Day in UTC, and model."""

_NAMES: Mapping[str, tuple[str, ...]] = {
    "day": ("start_time_iso", "start_time", "usage_date_utc", "date", "day", "timestamp"),
    "model": ("model", "model_version", "snapshot_id", "model_name"),
    "requests": ("num_model_requests", "num_requests", "requests", "n_requests"),
    "input": ("input_tokens", "prompt_tokens", "n_context_tokens_total"),
    "output": (
        "output_tokens",
        "usage_output_tokens",
        "completion_tokens",
        "n_generated_tokens_total",
    ),
}
"""What the columns that are read may be called, in any case and with blanks too; the first that the
file has is taken."""
_INPUT_PARTS = (
    "usage_input_tokens_no_cache",
    "usage_input_tokens_cache_write_5m",
    "usage_input_tokens_cache_write_1h",
    "usage_input_tokens_cache_read",
)
"""Of Anthropic's export, which has no column for the whole input."""
_COUNTED = ("requests", "input", "output")
_NEEDED = ("day", "model", "input", "output")
_DELIMITERS = ",;\t"
"""What may stand between fields: spreadsheets of many countries write semicolons."""
_TIME = r"(?:[ T,]+\d{1,2}:\d{2}.*)?"
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})" + _TIME)
_YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})" + _TIME)


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
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            between = max(_DELIMITERS, key=header.count)
            reader = csv.DictReader(chain((header,), file), delimiter=between)
            columns = _columns(path, reader.fieldnames or ())
            lines = [(f"{path}: line {reader.line_num}", line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError("usage export", str(path), f"a CSV file ({error})") from error
    return _added_up(path, columns, lines)


def _columns(path: Path, fields: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The columns of each meaning: one, or those that are its parts."""
    known = {_plain(name): name for name in fields if name}
    found: dict[str, tuple[str, ...]] = {
        meaning: (known[name],)
        for meaning, names in _NAMES.items()
        for name in reversed(names)
        if name in known
    }
    if parts := tuple(known[name] for name in _INPUT_PARTS if name in known):
        found["input"] = parts
    for meaning in _NEEDED:
        if meaning not in found:
            allowed = f"a column for the {meaning}: " + ", ".join(_NAMES[meaning])
            if not {"amount_value", "cost_usd"}.isdisjoint(known):
                allowed += "; this is an export of costs, not of usage"
            raise ConfigurationError(f"{path}: header", ", ".join(known.values()), allowed)
    return found


def _plain(name: str) -> str:
    """``Input Tokens`` and ``input_tokens`` are the same column."""
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")


def _added_up(
    path: Path, columns: Mapping[str, Sequence[str]], lines: Iterable[tuple[str, Line]]
) -> Export:
    read = [column for those in columns.values() for column in those]
    filled = [(where, line) for where, line in lines if any(_text(line, each) for each in read)]
    (day_column,), (model_column,) = columns["day"], columns["model"]
    day_first = _day_first(_text(line, day_column) for _, line in filled)
    counted: dict[Key, Counts] = {}
    days: set[str] = set()
    for where, line in filled:
        _check_length(line, where)
        day, model = _day(_text(line, day_column), day_first, where), _text(line, model_column)
        amounts = {
            name: sum(_count(_text(line, each), name, where) for each in columns.get(name, ()))
            for name in _COUNTED
        }
        days.add(day)
        if model or any(amounts.values()):  # else a day without usage, as OpenAI exports it
            counted.setdefault((day, model), Counts()).add(Counts(**amounts))
    if not counted:
        allowed = "a file with usage in it; this one has none, so there is nothing to compare"
        raise ConfigurationError("usage export", str(path), allowed)
    return Export(counted, min(days), max(days))


def _text(line: Line, column: str) -> str:
    value = line.get(column)
    return value.strip() if isinstance(value, str) else ""


def _check_length(line: Line, where: str) -> None:
    """Refuse a line that was cut off, or whose fields have moved, as 1,000 without quotes does."""
    beyond = line.get(None) or []
    if None in line.values() or any(beyond):
        had = [*line.values()][: len(line) - (None in line)]
        count = sum(each is not None for each in had) + len(beyond)
        raise ConfigurationError(where, f"{count} fields", f"{len(had)}, as the header has")


def _day_first(texts: Iterable[str]) -> bool | None:
    """Whether dates such as 20/11/2026 begin with their day; None where the file does not show it.

    It does by every number above 12, since who writes a file writes all of its dates in one order.
    """
    pairs = (
        map(int, found.groups()[:2]) for text in texts if (found := _YEAR_LAST.fullmatch(text))
    )
    shown = {first > 12 for first, second in pairs if max(first, second) > 12}
    return shown.pop() if len(shown) == 1 else None


def _day(text: str, day_first: bool | None, where: str) -> str:
    allowed = "a date such as 2026-11-20, or Unix seconds"
    try:
        if re.fullmatch(r"\d{9,10}(\.0+)?", text):
            return datetime.fromtimestamp(float(text), UTC).date().isoformat()
        if found := _YEAR_FIRST.fullmatch(text):
            return date(*map(int, found.groups())).isoformat()
        if found := _YEAR_LAST.fullmatch(text):
            first, second, year = map(int, found.groups())
            if day_first is None and first != second:
                allowed = "a date that can be read in one way only, such as 2026-11-20: whether the"
                allowed += " day or the month comes first, the dates of this file do not show"
                raise ValueError
            month, day = (second, first) if day_first else (first, second)
            return date(year, month, day).isoformat()
        then = datetime.fromisoformat(text)
        return (then.astimezone(UTC) if then.tzinfo else then).date().isoformat()
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{where}: day", text, allowed) from None


def _count(text: str, name: str, where: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,15}(\.0+)?", text):
        raise ConfigurationError(f"{where}: {name}", text, "a whole number from 0")
    return int(text.partition(".")[0])
