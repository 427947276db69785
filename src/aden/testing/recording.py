"""An emitter that keeps what it is given."""

import threading

from aden.core.record import CallRecord


class RecordingEmitter:
    """Keeps each finished call: ``instrument(emit_metric=(calls := RecordingEmitter()))``."""

    def __init__(self) -> None:
        self._records: list[CallRecord] = []
        self._changed = threading.Condition()

    def __call__(self, record: CallRecord) -> None:
        """Keep *record*."""
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    @property
    def records(self) -> tuple[CallRecord, ...]:
        """What came so far, in the order in which the calls were settled."""
        with self._changed:
            return tuple(self._records)

    def wait_for(self, count: int, timeout_s: float = 2.0) -> tuple[CallRecord, ...]:
        """Wait until *count* calls are finished, for *timeout_s* seconds at most.

        Returns:
            What came so far, which may be less.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._records) >= count, timeout_s)
            return tuple(self._records)
