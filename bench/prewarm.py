"""What `aden.livekit.prewarm` adds to the start of a LiveKit job process.

Milliseconds of a core, in children that are forked, as LiveKit's fork server does, from a process
that has imported what LiveKit imports there. The import of Aden counts as well: the fork server
does not import the agent's script. 20 budgets, a SQLite ledger, telemetry by OTLP.
"again" is a second call in the same process, as LiveKit's thread executor makes one for each job.
Run: make bench
"""

import argparse
import importlib
import os
import statistics
import tempfile
import time
from pathlib import Path

PRELOADED = (
    "livekit.agents",
    "livekit.plugins.openai",
    "livekit.agents.ipc._preload",
    "livekit.agents.ipc._preload_freeze",
)
PARTS = ("import aden.livekit", "prewarm", "again")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        _configure(Path(place))
        for module in PRELOADED:
            importlib.import_module(module)
        rounds = [_in_a_fork() for _ in range(arguments.rounds)]
    print(f"{'added to a LiveKit job process, ms of a core':<50}{'median':>9}{'most':>9}")
    for part, times in zip(PARTS, zip(*rounds, strict=True), strict=True):
        print(f"{part:<50}{statistics.median(times):>9.1f}{max(times):>9.1f}")
    first = [imported + warmed for imported, warmed, _ in rounds]
    print(f"{'together, at most 300 is the promise':<50}{statistics.median(first):>9.1f}", end="")
    print(f"{max(first):>9.1f}")


def _configure(place: Path) -> None:
    budgets = place / "budgets.toml"
    tables = [f'[[budget]]\nid = "calls-{number}"\nlimit_usd = "1"\n' for number in range(20)]
    budgets.write_text("\n".join(tables))
    os.environ |= {
        "ADEN_BUDGETS": str(budgets),
        "ADEN_LEDGER": f"sqlite://{place / 'ledger.db'}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }


def _in_a_fork() -> tuple[float, ...]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, " ".join(map(str, _measure())).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        times = answer.read()
    os.waitpid(child, 0)
    return tuple(float(each) for each in times.split())


def _measure() -> tuple[float, ...]:
    began = time.process_time()
    import aden.livekit

    imported = time.process_time()
    aden.livekit.prewarm()
    warmed = time.process_time()
    aden.livekit.prewarm()
    again = time.process_time()
    return tuple(
        (b - a) * 1000 for a, b in ((began, imported), (imported, warmed), (warmed, again))
    )


if __name__ == "__main__":
    main()
