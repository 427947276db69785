"""LiveKit's own tracer, which keeps the provider that it saw when it was imported."""

import logging
import sys
from typing import Any

import wrapt

logger = logging.getLogger("aden.livekit")


def adopt_tracer_provider(provider: Any) -> None:
    """Let LiveKit's spans go through *provider*, now or when LiveKit is imported."""

    def adopt(_module: Any) -> None:
        telemetry = sys.modules.get("livekit.agents.telemetry")
        setter = getattr(telemetry, "set_tracer_provider", None)
        if setter is None:
            logger.warning(
                "aden: this LiveKit has no telemetry.set_tracer_provider; its spans "
                "stay where it sends them"
            )
            return
        setter(provider)

    wrapt.register_post_import_hook(adopt, "livekit.agents.telemetry")
