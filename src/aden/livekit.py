"""LiveKit: ``WorkerOptions(prewarm_fnc=aden.livekit.prewarm)``, settings from the environment."""

import logging

from aden.errors import ConfigurationError
from aden.options import MeterOptions
from aden.runtime import start, start_misconfigured

logger = logging.getLogger("aden.livekit")


def prewarm(process: object = None) -> None:
    """Instrument this worker process. Never raises: an error here would kill the job process.

    A wrong setting arms the gate as ``misconfigured``: it refuses every request, or with
    ``ADEN_FAIL_OPEN=true`` lets it through.
    """
    try:
        start(MeterOptions())
    except ConfigurationError as error:
        logger.error("aden: %s", error)
        start_misconfigured(error)
    except Exception as error:
        logger.exception("aden: the gate could not be set up")
        start_misconfigured(ConfigurationError("aden", str(error), "a working set-up"))
