"""The LiveKit job around a request: on whose account it asks, and how its process ends."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from aden.core.attribution import NOBODY, Attribution, from_metadata
from aden.instrumentation.active import active_meter

EMITTERS_S = 2.0
"""How long coroutines of async emitters are waited for at a job's end."""


def job_attribution() -> Attribution:
    """What the job says: its own id as the session, and what its dispatcher put into metadata."""
    job_module = sys.modules.get("livekit.agents.job")
    context = job_module.get_job_context(required=False) if job_module else None
    if context is None:
        return NOBODY
    job = context.job
    ours = Attribution(agent=job.agent_name or None, session_id=job.id or None)
    return _from_job_metadata(job.metadata).over(ours)


def _from_job_metadata(text: str) -> Attribution:
    try:
        metadata = json.loads(text) if text else {}
    except ValueError:
        return NOBODY
    return from_metadata(metadata) if isinstance(metadata, dict) else NOBODY


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
