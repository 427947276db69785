"""LiveKit: ``WorkerOptions(prewarm_fnc=aden.livekit.prewarm)``, settings from the environment."""

from aden.budgets.heard import Line
from aden.instrumentation.livekit.heard import RefusedTurn
from aden.options import MeterOptions
from aden.runtime import start_quietly

__all__ = ["Line", "RefusedTurn", "prewarm"]


def prewarm(process: object = None) -> None:
    """Instrument this worker process. Never raises: an error here would kill the job process.

    A wrong setting arms the gate as ``misconfigured``: it refuses every request, or with
    ``ADEN_FAIL_OPEN=true`` lets it through.
    """
    start_quietly(MeterOptions())
