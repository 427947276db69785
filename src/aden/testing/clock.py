"""A clock that stands still until a test moves it."""


class FixedClock:
    """Give it wherever a clock is asked for: ``MemoryLedger(FixedClock())``."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self._now = now

    def __call__(self) -> float:
        """Unix seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by *seconds*; back, where they are negative."""
        self._now += seconds

    def set(self, now: float) -> None:
        """Move to the unix second *now*."""
        self._now = now
