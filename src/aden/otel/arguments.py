"""What an application hands to the instrumentor by OpenTelemetry's names."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class OTelArguments:
    """Providers and a hook."""

    tracer_provider: Any = None
    meter_provider: Any = None
    logger_provider: Any = None
    completion_hook: Any = None

    def over(self, before: "OTelArguments | None") -> "OTelArguments":
        """These; what is None is as *before*: a second call may come by a door without them."""
        if before is None:
            return self
        pairs = ((getattr(self, each.name), getattr(before, each.name)) for each in fields(self))
        return OTelArguments(*(was if said is None else said for said, was in pairs))
