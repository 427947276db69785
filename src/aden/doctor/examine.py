"""Looks at everything, one after the other, and waits for nothing without a bound."""

import threading
from collections.abc import Callable, Iterable

from aden.doctor.configuration import configuration
from aden.doctor.coverage import coverage
from aden.doctor.dry_call import dry_call
from aden.doctor.endpoints import endpoints
from aden.doctor.finding import Finding, Part, Report
from aden.doctor.gate import gate
from aden.doctor.ledger import ledger
from aden.doctor.opentelemetry import opentelemetry
from aden.doctor.policy import policy
from aden.doctor.subject import Subject

BOUND_S = 15.0
"""Seconds that one check may take."""

Check = Callable[[Subject], Iterable[Finding]]
CHECKS: tuple[tuple[Part, Check], ...] = (
    ("opentelemetry", opentelemetry),
    ("gate", gate),
    ("coverage", coverage),
    ("ledger", ledger),
    ("policy", policy),
    ("endpoints", endpoints),
    ("configuration", configuration),
)


def examine(subject: Subject, *, tries: bool) -> Report:
    """Examine *subject*.

    Args:
        subject: What is in force.
        tries: Also make the dry call, for which the gate of this process is exchanged for a
            moment: not in a process that serves anybody.
    """
    checks = list(CHECKS)
    if tries:
        checks.insert(2, ("gate", dry_call))
    return Report(
        subject.version,
        [finding for part, check in checks for finding in _bounded(part, check, subject)],
    )


def _bounded(part: Part, check: Check, subject: Subject) -> list[Finding]:
    found: list[Finding] = []

    def look() -> None:
        try:
            found.extend(check(subject))
        except Exception as error:
            found.append(
                Finding(part, "examination", f"could not be examined: {error!r}", "failure")
            )

    thread = threading.Thread(target=look, name="aden-doctor-check", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the process ends, and Python starts no more threads
        look()
        return found
    thread.join(BOUND_S)
    if thread.is_alive():
        said = f"did not come to an end within {BOUND_S:.0f} s"
        return [*found, Finding(part, "examination", said, "failure")]
    return found
