"""``aden doctor``: whether the gate holds, and whether what it shows arrives."""

import argparse
import contextlib
import importlib
import importlib.util
import logging

from aden.doctor.examine import examine
from aden.doctor.finding import EXIT_CODES
from aden.options import MeterOptions
from aden.runtime import current_runtime, start_quietly

_WRAPPED = ("openai", "livekit.agents")


def add_doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command's arguments."""
    doctor = commands.add_parser(
        "doctor", help="is the gate armed, does telemetry arrive, what is in force"
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(run=run_doctor)


def run_doctor(chosen: argparse.Namespace) -> int:
    """Start as a worker with this environment would, and examine it: 0, 1 warnings, 2 failures."""
    for name in ("aden", "opentelemetry"):  # the report says it, with the rest
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in _WRAPPED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if current_runtime() is None:  # else by opentelemetry-instrument
        start_quietly(MeterOptions())
    runtime = current_runtime()
    assert runtime is not None
    report = examine(runtime.subject(), tries=True)
    print(report.as_json() if chosen.json else report.as_text())
    return EXIT_CODES[report.worst]
