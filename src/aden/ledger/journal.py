"""The journal: how long it may become, and its lines: finished calls as JSON."""

import logging
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from aden.core.interruption import interrupts
from aden.core.record import CallRecord
from aden.errors import ConfigurationError

logger = logging.getLogger("aden.ledger")

DAY_S = 86_400.0
OPTIONS = "journal=calls&journal_days=days"


class Keep(NamedTuple):
    """How much of the journal is kept; what is beyond either bound goes, the oldest first."""

    calls: int = 100_000
    """About 600 bytes each."""
    seconds: float = 400 * DAY_S
    """A year and a month."""


def read_keep(
    options: dict[str, str], default: Keep, wrong: Callable[[str], ConfigurationError]
) -> Keep:
    """Take the journal's options out of those of a ledger's URL.

    Raises:
        ConfigurationError: One of them is no number; made by *wrong*.
    """
    calls = options.pop("journal", str(default.calls))
    if not re.fullmatch(r"\d{1,8}", calls, re.ASCII):
        raise wrong("journal is a number of calls, 0 to 99999999")
    days = options.pop("journal_days", str(int(default.seconds / DAY_S)))
    if not re.fullmatch(r"[1-9]\d{0,4}", days, re.ASCII):
        raise wrong("journal_days is a number of days, 1 to 99999")
    return Keep(int(calls), int(days) * DAY_S)


def line_of(record: CallRecord | None) -> str | None:
    """*record* as the journal keeps it; None where there is none or it cannot be written down.

    The money of a call does not depend on it: a record that fails here is logged, never raised.
    """
    if record is None:
        return None
    try:
        return record.to_json()
    except Exception as error:
        if interrupts(error):
            raise
        logger.exception("aden: call %s cannot be written to the journal", record.id)
        return None


def records_of(lines: Iterable[str]) -> tuple[CallRecord, ...]:
    """The records behind *lines*, without those that another version wrote differently."""
    records = []
    unreadable = 0
    for line in lines:
        try:
            records.append(CallRecord.from_json(line))
        except (ValueError, TypeError, KeyError, AttributeError):
            unreadable += 1
    if unreadable:
        logger.warning("aden: %d lines of the journal cannot be read", unreadable)
    return tuple(records)
