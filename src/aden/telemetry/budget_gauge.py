"""How full budgets are, and what is held: read when metrics are collected, off a call's path.

The SDK keeps an instrument's first callbacks as long as its meter lives, so what they ask stands
here and is exchanged with each configuration.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from aden.telemetry import names
from aden.telemetry.later import hand_over
from aden.telemetry.quiet import quietly


class Filled(Protocol):
    """Shares of a budget's limit."""

    @property
    def spent(self) -> float:
        """What is settled or unconfirmed."""

    @property
    def reserved(self) -> float:
        """What open holds take."""


class Source(Protocol):
    """Whom the gauges ask."""

    def read(self) -> Mapping[str, Filled]:
        """Each budget's id, and how full it is."""

    def open_holds(self) -> int | None:
        """How many operations hold something; None: nothing is shown."""


_source: Source | None = None


def watch_budgets(source: Source | None) -> None:
    """Show what *source* tells."""
    global _source  # noqa: PLW0603 - the SDK takes no callback back
    _source = source


def show_budgets(meter: Meter) -> None:
    """Make the gauges."""
    meter.create_observable_gauge(
        names.METRIC_BUDGET,
        [_told(_utilization)],
        unit="1",
        description="Share of a budget's limit that is spent, or reserved for open requests.",
    )
    meter.create_observable_gauge(
        names.METRIC_HOLDS,
        [_told(_holds)],
        unit="{hold}",
        description="Reservations that are open in the ledger.",
    )


def _told(
    tell: Callable[[Source], Iterable[Observation]],
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        found: list[Observation] = []
        hand_over()
        if (source := _source) is not None:
            quietly(lambda: found.extend(tell(source)))
        return found

    return observe


def _utilization(source: Source) -> Iterable[Observation]:
    for budget_id, filled in source.read().items():
        for state, share in (("spent", filled.spent), ("reserved", filled.reserved)):
            labels = {names.BUDGET_ID: budget_id, names.BUDGET_STATE: state}
            yield Observation(share, labels)


def _holds(source: Source) -> Iterable[Observation]:
    if (count := source.open_holds()) is not None:
        yield Observation(count)
