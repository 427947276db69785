"""The LiveKit job around a request, whichever SDK or framework makes it."""

import json
import sys

from aden.core.attribution import NOBODY, Attribution, from_metadata


def job_attribution() -> Attribution | None:
    """What the job says: its own id as the session, and what its dispatcher put into metadata.

    None outside of a job.
    """
    job_module = sys.modules.get("livekit.agents.job")
    context = job_module.get_job_context(required=False) if job_module else None
    if context is None:
        return None
    job = context.job
    ours = Attribution(agent=job.agent_name or None, session_id=job.id or None)
    return _from_job_metadata(job.metadata).over(ours)


def _from_job_metadata(text: str) -> Attribution:
    try:
        metadata = json.loads(text) if text else {}
    except ValueError:
        return NOBODY
    return from_metadata(metadata) if isinstance(metadata, dict) else NOBODY
