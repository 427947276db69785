"""Points of metrics that wait until metrics are collected: no call waits for a point.

To record one takes OpenTelemetry's SDK some ten microseconds, and a call has six of them; to make
their labels takes a few more. An SDK asks its observable instruments first when it collects, so
what they do before they answer is collected with it; `budget_gauge` does this.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVarTuple

from aden.core.forks import call_in_children
from aden.telemetry.quiet import quietly

POINTS_MAX = 1_000
"""So many wait at most, of some hundred calls; where nobody collects, or not so often, each further
one is recorded at once."""

Ts = TypeVarTuple("Ts")

_points: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
"""Of the process: it outlives an uninstrument, so nothing is lost by one."""
_collections = 1
"""How often what waits was handed over."""
_turn = threading.RLock()
"""Whoever collects waits for what another hands over just then: it may be for their instruments."""
TURN_S = 1.0
"""So long at most, since an instrument that is not ours may do anything."""


class Points:
    """The points of one meter's instruments."""

    def __init__(self) -> None:
        self._recorded_after = 0

    def put(self, record: Callable[[*Ts], None], *args: *Ts) -> None:
        """Have points recorded by *record*; what it is given is not to be changed any more.

        The first after each collection is recorded at once: some providers are made, and with them
        whoever collects, when a process first counts. Never raises.
        """
        if self._recorded_after == _collections and len(_points) < POINTS_MAX:
            _points.append((record, args))
            return
        after = _collections
        if quietly(record, *args):
            self._recorded_after = after


def hand_over() -> None:
    """Record all that waits."""
    global _collections  # noqa: PLW0603 - as the queue, it is the process's
    turn, is_mine = _turn, _turn.acquire(timeout=TURN_S)
    try:
        _collections += 1
        for _ in range(len(_points)):
            try:
                record, args = _points.popleft()
            except IndexError:  # somebody else did not wait
                return
            quietly(record, *args)
    finally:
        if is_mine:
            turn.release()


def _forget() -> None:
    """In a forked child: what waits in the parent, it records itself."""
    global _collections, _turn  # noqa: PLW0603 - as above
    _points.clear()
    _collections += 1
    _turn = threading.RLock()


call_in_children(_forget)
