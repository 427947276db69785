"""The only twins of the house: admitting a call, once with and once without ``await``.

Everything that decides is in `Meter`; here stands only what waits. The processor has decided when
the span starts; asking again makes sure that somebody does. An SDK may run on another loop than
asyncio's (trio): there the ledger and the hook are asked on a thread.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from typing import TypeVarTuple

from aden.core.event_loop import running_loop
from aden.core.request import Request
from aden.errors import LedgerError, RequestCancelledError
from aden.ledger.protocol import Ask, Refusal
from aden.metering.call import Call
from aden.metering.further import Further, answered, next_sending, next_slice, refusal
from aden.metering.meter import Meter

Ts = TypeVarTuple("Ts")

BUSY_POLL_S = 0.01
HOOK_GRACE_S = 0.5
"""So long after its time is up a hook's thread may take to end."""


def admit(meter: Meter, call: Call) -> None:
    """Take a call to the point where it may be sent, or raise its refusal and nothing else."""
    try:
        if ask := meter.plan(call):
            _reserve(meter, call, ask)
        if meter.hook.is_awaited(call):
            _ask_hook_in_thread(meter, call)
        meter.open_span(call)
        meter.decide(call)
        if ask := meter.adjust(call):
            _reserve(meter, call, ask)
            meter.readjusted(call, ask)
        meter.admit(call)
        if call.delay_s:
            time.sleep(call.delay_s)
        meter.sending(call)
    except RequestCancelledError:
        raise
    except Exception as error:
        meter.gate_failed(call, error)


async def aadmit(meter: Meter, call: Call) -> None:
    """`admit`, awaiting."""
    try:
        if ask := meter.plan(call):
            await _areserve(meter, call, ask)
        if meter.hook.is_awaited(call):
            await _ask_hook(meter, call)
        meter.open_span(call)
        meter.decide(call)
        if ask := meter.adjust(call):
            await _areserve(meter, call, ask)
            meter.readjusted(call, ask)
        meter.admit(call)
        if call.delay_s:
            if call.lane.delayed is not None:
                call.lane.delayed(call.delay_s)
            await _sleep(call.delay_s)
        meter.sending(call)
    except RequestCancelledError:
        raise
    except Exception as error:
        meter.gate_failed(call, error)


def fall_back(meter: Meter, call: Call) -> bool:
    """Whether the asked model may be sent, where the provider refused the degraded one."""
    try:
        if ask := meter.asked_model(call):
            _reserve(meter, call, ask)
        return meter.fell_back(call)
    except Exception:
        meter.cannot("gate", "whether the asked model fits could not be told", trace=True)
        return False


async def afall_back(meter: Meter, call: Call) -> bool:
    """`fall_back`, awaiting."""
    try:
        if ask := meter.asked_model(call):
            await _areserve(meter, call, ask)
        return meter.fell_back(call)
    except Exception:
        meter.cannot("gate", "whether the asked model fits could not be told", trace=True)
        return False


def bear(meter: Meter, call: Call, request: Request, *, as_sent: bool = False) -> None:
    """Hold what *request* can cost before it is sent, where that has to fit, or refuse it."""
    if further := next_sending(meter, call, request, as_sent=as_sent):
        _ask_further(meter, call, further)
        if refused := refusal(call, further):
            raise refused


async def abear(meter: Meter, call: Call, request: Request, *, as_sent: bool = False) -> None:
    """`bear`, awaiting."""
    if further := next_sending(meter, call, request, as_sent=as_sent):
        await _aask_further(meter, call, further)
        if refused := refusal(call, further):
            raise refused


def grow(meter: Meter, call: Call, request: Request, tokens: int) -> bool:
    """Hold one more slice of a stream; False where no budget bears it."""
    if further := next_slice(meter, call, request, tokens):
        _ask_further(meter, call, further)
        return answered(call, further) is None
    return True


async def agrow(meter: Meter, call: Call, request: Request, tokens: int) -> bool:
    """`grow`, awaiting."""
    if further := next_slice(meter, call, request, tokens):
        await _aask_further(meter, call, further)
        return answered(call, further) is None
    return True


def _ask_further(meter: Meter, call: Call, further: Further) -> None:
    try:
        if further.block is None:
            _reserve(meter, call, further.ask)
    except Exception:
        meter.cannot("gate", "an open call could not be bounded", trace=True)


async def _aask_further(meter: Meter, call: Call, further: Further) -> None:
    try:
        if further.block is None:
            await _areserve(meter, call, further.ask)
    except Exception:
        meter.cannot("gate", "an open call could not be bounded", trace=True)


def _reserve(meter: Meter, call: Call, ask: Ask) -> None:
    since = asked_at = time.monotonic()
    try:
        while _waits(meter, call, outcome := meter.ledger.reserve(ask), since):
            time.sleep(BUSY_POLL_S)
            asked_at = time.monotonic()
        meter.reserver.answered(call, ask, outcome, asked_at)
    except LedgerError as error:
        meter.reserver.failed(call, ask, error, asked_at)


async def _areserve(meter: Meter, call: Call, ask: Ask) -> None:
    if running_loop() is None:
        await _on_a_thread(_reserve, meter, call, ask)
        return
    since = asked_at = time.monotonic()
    try:
        while _waits(meter, call, outcome := await meter.ledger.areserve(ask), since):
            await asyncio.sleep(BUSY_POLL_S)
            asked_at = time.monotonic()
        meter.reserver.answered(call, ask, outcome, asked_at)
    except LedgerError as error:
        meter.reserver.failed(call, ask, error, asked_at)


def _waits(meter: Meter, call: Call, outcome: object, since: float) -> bool:
    """Only open holds stand in the way, and there is time left for a refund."""
    busy = isinstance(outcome, Refusal) and outcome.reason == "busy"
    return busy and time.monotonic() < since + meter.reserver.busy_wait_s(call)


async def _sleep(seconds: float) -> None:
    if running_loop() is None:
        import anyio

        await anyio.sleep(seconds)
    else:
        await asyncio.sleep(seconds)


async def _on_a_thread(waits: Callable[[*Ts], None], *asked: *Ts) -> None:
    from anyio import to_thread  # which whoever runs on such a loop has

    await to_thread.run_sync(waits, *asked)


async def _ask_hook(meter: Meter, call: Call) -> None:
    if running_loop() is None:
        await _on_a_thread(_ask_hook_in_thread, meter, call)
        return
    meter.reserver.hold_back(call)
    timeout_s = meter.options.hook_timeout_ms / 1000
    limit = asyncio.timeout(timeout_s)
    try:
        with meter.hook.asked():
            answer = meter.hook.answer(call)
            async with limit:
                meter.hook.answered(call, await answer)
    except Exception as error:
        if limit.expired():
            meter.hook.failed(call, f"before_request took longer than {timeout_s * 1000:.0f} ms")
        else:
            meter.hook.raised(call, error)


def _ask_hook_in_thread(meter: Meter, call: Call) -> None:
    """Ask an async hook for a sync client, whether or not a loop runs in this thread."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(_ask_hook(meter, call))
        except asyncio.CancelledError as error:  # not ours: nobody can cancel this thread
            meter.hook.raised(call, error)
        except BaseException as error:  # a thread would print it, and the hook count as asked
            raised.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="aden-hook", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # none can be had
        meter.hook.failed(call, f"before_request could not be asked: {error}")
        return
    timeout_ms = meter.options.hook_timeout_ms
    thread.join(timeout_ms / 1000 + HOOK_GRACE_S)
    if raised:
        raise raised[0]
    if thread.is_alive():  # it hears of no time-out: it blocks its loop
        meter.hook.failed(call, f"before_request took longer than {timeout_ms:.0f} ms")
