"""A LiveKit job: the session that its calls make up, and how it ends."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from aden.core.attribution import NOBODY, Attribution, from_metadata
from aden.core.place import Place
from aden.instrumentation.active import active_meter
from aden.instrumentation.told import read_json
from aden.metering.meter import Meter
from aden.metering.session import Session

EMITTERS_S = 2.0
"""How long coroutines of async emitters are waited for at a job's end."""
BILL_S = 2.0
"""How long a job's end waits until its bill is told."""


class _Process:
    job: Any = None
    """The job for which LiveKit has made this process; None where it may run several."""


def made(wrapped: Callable[..., None], context: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``JobContext.__init__``: a process that is made for a job runs no other."""
    wrapped(*args, **kwargs)
    kind = getattr(getattr(context, "proc", None), "executor_type", None)
    if getattr(kind, "name", None) == "PROCESS":
        _Process.job = context


def current_job() -> Any:
    """The ``JobContext`` of what runs here; None outside of a job.

    LiveKit's own variable is not there in a thread of an executor, nor in one of the program's.
    """
    jobs = sys.modules.get("livekit.agents.job")
    if jobs is None:
        return None
    return jobs.get_job_context(required=False) or _Process.job


def session_of(context: Any) -> Session:
    """What the calls of a job share; it lives as long as the ``JobContext``."""
    own = vars(context)
    found: Session | None = own.get("_aden_session")
    if found is None:
        made = Session(place_of(context.job), account_of(context.job))
        found = own.setdefault("_aden_session", made)  # a thread of the job may have been faster
    return found


def place_of(job: Any) -> Place:
    """The job and its room, by their ids."""
    return Place(job_id=text(job, "id"), room_id=text(getattr(job, "room", None), "sid"))


def account_of(job: Any) -> Attribution:
    """The job's own id as the session, its room, and what its dispatcher put into its metadata."""
    room = getattr(job, "room", None)
    ours = Attribution(
        agent=job.agent_name or None,
        session_id=job.id or None,
        room_id=text(room, "sid") or text(room, "name"),
    )
    return _from_job_metadata(job.metadata).over(ours)


def text(source: Any, name: str) -> str | None:
    """An attribute that is a text and not empty; None for all else."""
    said = getattr(source, name, None)
    return said if isinstance(said, str) and said else None


async def cleanup(
    wrapped: Callable[..., Awaitable[Any]], context: Any, args: Any, kwargs: Any
) -> Any:
    """Wrapper of ``JobContext._on_cleanup``: the last step at which a job's loop still runs.

    The bill is told before LiveKit hands out its telemetry. Coroutines of async emitters end here,
    and here one still hears what the log has to say of a flush. The process's own end flushes once
    more.
    """
    meter = active_meter()
    if meter is not None:
        await _end_session(meter, context)
    try:
        return await wrapped(*args, **kwargs)
    finally:
        if meter is not None:
            await meter.dispatcher.aflush(EMITTERS_S)
            await asyncio.to_thread(meter.flush)


async def _end_session(meter: Meter, context: Any) -> None:
    session: Session | None = vars(context).get("_aden_session")
    if session is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(session.end, meter), BILL_S)


def _from_job_metadata(metadata: str) -> Attribution:
    said = read_json(metadata)
    return from_metadata(said) if isinstance(said, dict) else NOBODY
