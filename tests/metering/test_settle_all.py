"""At the end of a process all that is open is settled, whatever other threads do meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aden.core.request import Request
from aden.metering.call import Lane
from interleaving import others_making

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
    with others_making(lambda: _sent(meter)):
        for _ in range(ROUNDS):
            open_calls = [_sent(meter) for _ in range(OPEN)]
            meter.settle_all()
            assert {call.state for call in open_calls} == {"settled"}


def _sent(meter: Meter) -> Call:
    call = meter.begin(REQUEST, {}, Lane())
    meter.sending(call)
    return call
