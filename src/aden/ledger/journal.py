"""The journal's lines: finished calls as JSON, whatever odd value a provider put into one."""

import logging
from collections.abc import Iterable

from aden.core.record import CallRecord

logger = logging.getLogger("aden.ledger")


def line_of(record: CallRecord | None) -> str | None:
    """*record* as the journal keeps it; None where there is none or it cannot be written down.

    The money of a call does not depend on it: a record that fails here is logged, never raised.
    """
    if record is None:
        return None
    try:
        return record.to_json()
    except Exception:
        logger.exception("aden: call %s cannot be written to the journal", record.id)
        return None


def records_of(lines: Iterable[str]) -> tuple[CallRecord, ...]:
    """The records behind *lines*, without those that another version wrote differently."""
    records = []
    unreadable = 0
    for line in lines:
        try:
            records.append(CallRecord.from_json(line))
        except (ValueError, TypeError, KeyError):
            unreadable += 1
    if unreadable:
        logger.warning("aden: %d lines of the journal cannot be read", unreadable)
    return tuple(records)
