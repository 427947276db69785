"""``ADEN_DOCTOR=true``: what is in force, said by each process itself."""

import os
import sys
import threading

from aden.doctor.examine import examine
from aden.doctor.subject import Subject

_said_in: set[int] = set()


def say_once(subject: Subject) -> None:
    """Examine *subject* on a thread and print the report as an error line, once a process.

    The process waits for it at its end, so a short one is told of as well.
    """
    if os.getpid() in _said_in:
        return
    _said_in.add(os.getpid())
    threading.Thread(target=_say, args=(subject,), name="aden-doctor").start()


def _say(subject: Subject) -> None:
    report = examine(subject, tries=False)
    sys.stderr.write(f"{report.as_text()}\n")
    sys.stderr.flush()
