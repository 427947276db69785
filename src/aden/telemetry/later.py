"""Points of metrics that wait until metrics are collected: no call waits for a point.

To record one takes OpenTelemetry's SDK some ten microseconds, and a call has six of them. An SDK
asks its observable instruments first when it collects, so what they do before they answer is
collected with it; `budget_gauge` does this.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from aden.telemetry.attributes import Value
from aden.telemetry.quiet import quietly

if TYPE_CHECKING:
    from opentelemetry.context import Context

POINTS_MAX = 1_000
"""So many wait at most, of some hundred calls; where nobody collects, or not so often, each further
one is recorded at once."""

Record = Callable[[float, "Mapping[str, Value]", "Context | None"], None]
"""``Histogram.record`` or ``Counter.add``."""

_points: deque[tuple[Record, float, Mapping[str, Value], "Context | None"]] = deque()
"""Of the process: it outlives an uninstrument, so nothing is lost by one."""
_is_collected = False
"""Whether whoever collects is there: some providers are made when a process first counts."""


def put(
    record: Record, amount: float, labels: Mapping[str, Value], context: "Context | None" = None
) -> None:
    """Have a point recorded; *labels* are not to be changed any more."""
    global _is_collected  # noqa: PLW0603 - as the queue, it is the process's
    if _is_collected and len(_points) < POINTS_MAX:
        _points.append((record, amount, labels, context))
        return
    record(amount, labels, context)
    _is_collected = True


def hand_over() -> None:
    """Record all that waits."""
    global _is_collected  # noqa: PLW0603 - as above
    _is_collected = False
    for _ in range(len(_points)):
        try:
            record, amount, labels, context = _points.popleft()
        except IndexError:  # somebody else collects as well
            return
        quietly(partial(record, amount, labels, context))


def _forget() -> None:
    """In a forked child: what waits in the parent, it records itself."""
    global _is_collected  # noqa: PLW0603 - as above
    _points.clear()
    _is_collected = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
