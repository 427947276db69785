"""What the zero-code launch costs a program that asks no model: opentelemetry-instrument, -c pass.

Wall-clock milliseconds of whole processes, taken in turns; "without" is the same command with
Aden's entry points left out. Run: make bench
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, "-c", "pass"]
WITH = {"OTEL_PYTHON_DISTRO": "aden", "OTEL_PYTHON_CONFIGURATOR": "aden"}
WITHOUT = {"OTEL_PYTHON_DISTRO": "none", "OTEL_PYTHON_CONFIGURATOR": "none"}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(
        f"{'opentelemetry-instrument python -c pass, ms':<46}{'without':>9}{'with':>9}{'ratio':>8}"
    )
    taken: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(arguments.rounds):
        taken["without"].append(_run(WITHOUT, "openai,aden"))
        taken["with"].append(_run(WITH, "openai"))
    without, with_ = statistics.median(taken["without"]), statistics.median(taken["with"])
    noise = f"(without: {min(taken['without']):.0f} to {max(taken['without']):.0f})"
    print(f"{noise:<46}{without:>9.0f}{with_:>9.0f}{with_ / without:>8.2f}")


def _run(variables: dict[str, str], disabled: str) -> float:
    kept = {name: v for name, v in os.environ.items() if not name.startswith(("OTEL_", "ADEN_"))}
    environment = {**kept, **variables, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": disabled}
    started = time.perf_counter()
    subprocess.run(COMMAND, env=environment, capture_output=True, check=True)  # noqa: S603
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
