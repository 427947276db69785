"""The journal as a command reads it, and whether older lines than it needs are gone."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from aden.core.record import CallRecord
from aden.ledger import Ledger
from aden.ledger.journal import DAY_S


class Lines:
    """The calls that were booked from *since* on; iterate once, then ask `cut`."""

    def __init__(self, ledger: Ledger, since: float) -> None:
        self._ledger = ledger
        self._since = since
        self._count = 0
        self._first = 0.0

    def __iter__(self) -> Iterator[CallRecord]:
        for record in self._ledger.journal(self._since):
            self._first = self._first or record.at
            self._count += 1
            yield record

    @property
    def cut(self) -> str | None:
        """What to say where the journal begins later than it was asked for; else None."""
        keep = self._ledger.keep
        aged = time.time() - keep.seconds
        if self._count >= max(1, keep.calls):
            why, begins, more = f"is full: its {keep.calls:,} calls begin at", self._first, "=CALLS"
        elif self._since < aged:
            why, begins, more = (
                f"keeps {keep.seconds / DAY_S:g} days: it begins at",
                aged,
                "_days=DAYS",
            )
        else:
            return None  # nothing was pushed out, or only what is older
        moment = datetime.fromtimestamp(begins, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            f"The journal {why} {moment}, and what was before that is in no figure here.\n"
            f"More are kept with ?journal{more} in the ledger's URL."
        )
