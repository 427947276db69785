"""When something is to be done next."""

import random
import time
from dataclasses import dataclass


@dataclass(slots=True)
class Due:
    """When something is to be done next, on the monotonic clock."""

    at: float = 0.0
    failures: int = 0

    def again(self, every_s: float) -> None:
        """It was done."""
        self.failures = 0
        self.at = time.monotonic() + every_s * random.uniform(0.9, 1.1)  # noqa: S311

    def later(self, most_s: float, asked_s: float | None = None) -> None:
        """It failed: sooner or later, each time a little later, or when the server asked."""
        wait = min(most_s, 2.0 ** min(self.failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
        self.failures += 1
        self.at = time.monotonic() + max(wait, asked_s or 0.0)
