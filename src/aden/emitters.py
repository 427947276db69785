"""Emitters that ship with Aden."""

import sys
from collections.abc import Callable

from aden.core.line import pretty_line
from aden.core.record import CallRecord


def create_console_emitter(pretty: bool = True) -> Callable[[CallRecord], None]:
    """An emitter that prints one line a call to standard output.

    Args:
        pretty: A line for people; False: one line of JSON.
    """

    def emit(record: CallRecord) -> None:
        line = pretty_line(record) if pretty else record.to_json()
        # One write a line: many processes share the terminal.
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    return emit
