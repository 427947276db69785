"""At the end of a process all that is open is settled, whatever other threads do meanwhile."""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import TYPE_CHECKING

from aden.core.request import Request
from aden.metering.call import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.metering.call import Call
    from aden.metering.meter import Meter
    from house import House

REQUEST = Request("openai", "gpt-4o")
ROUNDS, OPEN = 20, 500


def test_calls_that_begin_and_end_meanwhile_hold_up_nothing(
    instrumented: Callable[..., House],
) -> None:
    """Daemon threads and event loops go on with theirs until the interpreter is gone."""
    meter = instrumented(emit_metric=None).meter
    over = threading.Event()

    def work() -> None:
        latest: deque[Call] = deque(maxlen=50)
        while not over.is_set():
            latest.append(_sent(meter))

    others = [threading.Thread(target=work) for _ in range(3)]
    switched_every_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in others:
            each.start()
        for _ in range(ROUNDS):
            open_calls = [_sent(meter) for _ in range(OPEN)]
            meter.settle_all()
            assert {call.state for call in open_calls} == {"settled"}
    finally:
        over.set()
        sys.setswitchinterval(switched_every_s)
        for each in others:
            each.join()


def _sent(meter: Meter) -> Call:
    call = meter.begin(REQUEST, {}, Lane())
    meter.sending(call)
    return call
