"""How the process of a LiveKit job ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aden.instrumentation.active import active_meter

EMITTERS_S = 2.0
"""How long coroutines of async emitters are waited for at a job's end."""


async def cleanup(wrapped: Callable[..., Awaitable[Any]], _job: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of ``JobContext._on_cleanup``: the last step at which a job's loop still runs.

    Coroutines of async emitters end here, and here one still hears what the log has to say of a
    flush. The process's own end flushes once more.
    """
    try:
        return await wrapped(*args, **kwargs)
    finally:
        if (meter := active_meter()) is not None:
            await meter.dispatcher.aflush(EMITTERS_S)
            await asyncio.to_thread(meter.flush)
