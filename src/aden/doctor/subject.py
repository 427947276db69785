"""What is examined: everything that one configuration put into this process."""

from dataclasses import dataclass

from aden.control.agent import ControlAgent
from aden.metering.meter import Meter
from aden.options import MeterOptions
from aden.otel.providers import Providers


@dataclass(frozen=True, slots=True)
class Subject:
    """The parts of a runtime that the doctor looks at."""

    version: str
    options: MeterOptions
    """What code gave."""
    meter: Meter
    providers: Providers
    control: ControlAgent | None = None
    """None: there is no Aden server."""
    ledger_doubt: str | None = None
    """Why what is booked will not last; None: nothing speaks against it."""
