"""How full budgets are: a gauge that is read when metrics are collected, off a call's path.

The SDK keeps an instrument's first callbacks as long as its meter lives, so what they ask stands
here and is exchanged with each configuration.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from aden.telemetry import names
from aden.telemetry.quiet import quietly


class Filled(Protocol):
    """Shares of a budget's limit."""

    @property
    def spent(self) -> float:
        """What is settled or unconfirmed."""

    @property
    def reserved(self) -> float:
        """What open holds take."""


Source = Callable[[], Mapping[str, Filled]]

_source: Source | None = None


def watch_budgets(source: Source | None) -> None:
    """Show what *source* tells: each budget's id, and how full it is."""
    global _source  # noqa: PLW0603 - the SDK takes no callback back
    _source = source


def show_budgets(meter: Meter) -> None:
    """Make the gauge."""
    meter.create_observable_gauge(
        names.METRIC_BUDGET,
        [_observe],
        unit="1",
        description="Share of a budget's limit that is spent, or reserved for open requests.",
    )


def _observe(_options: CallbackOptions) -> Iterable[Observation]:
    found: list[Observation] = []
    quietly(lambda: found.extend(_observations()))
    return found


def _observations() -> Iterable[Observation]:
    for budget_id, filled in (_source() if _source is not None else {}).items():
        for state, share in (("spent", filled.spent), ("reserved", filled.reserved)):
            labels = {names.BUDGET_ID: budget_id, names.BUDGET_STATE: state}
            yield Observation(share, labels)
