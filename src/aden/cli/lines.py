"""The journal as a command reads it, and whether older lines than it needs are gone."""

from collections.abc import Iterator
from datetime import UTC, datetime

from aden.core.record import CallRecord
from aden.ledger import Ledger


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
        """What to say where a full journal begins later than it was asked for; else None."""
        keeps = self._ledger.keep.calls
        if self._count < max(1, keeps):
            return None  # nothing was pushed out, or only what is older
        begins = datetime.fromtimestamp(self._first, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            f"The journal is full: its {keeps:,} calls begin at {begins}, and what was before that "
            "is in no figure here.\nMore are kept with ?journal=CALLS in the ledger's URL."
        )
