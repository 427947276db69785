"""What instrumentation adds to a plain call in instructions of the processor: no noise touches it.

The rows are those of `speed`; each is run twice under valgrind, with a few calls and with many, and
the difference is what one call takes. Slow: a minute or two a row. Run: make bench
"""

import argparse
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from speed import REQUEST, ROWS, WARM_UP, _client, _instrument

FEW, MANY = 20, 120


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="*", default=ROWS[:-1], choices=ROWS)
    parser.add_argument("--calls", type=int, help="make so many calls, and print nothing")
    arguments = parser.parse_args()
    if arguments.calls is not None:
        _call(arguments.rows[0], arguments.calls)
    elif shutil.which("valgrind") is None:
        print("instructions: not counted, valgrind is not installed")
    else:
        _table(dict.fromkeys(("bare", *arguments.rows)))


def _table(rows: dict[str, None]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        figures = dict(zip(rows, pool.map(_instructions, rows), strict=True))
    print("thousands of instructions, added to the row 'bare'; in it, what a call takes without us")
    for row, count in figures.items():
        print(f"{row:<12}{(count if row == 'bare' else count - figures['bare']) / 1000:>14,.0f}")
    if {"official", "memory"} <= figures.keys():
        ours, theirs = (figures[row] - figures["bare"] for row in ("memory", "official"))
        print(f"\nthe row 'memory' divided by the row 'official': {ours / theirs:.2f}")


def _instructions(row: str) -> float:
    few, many = (_counted(row, calls) for calls in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _counted(row: str, calls: int) -> int:
    tool = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
    done = subprocess.run(  # noqa: S603
        [*tool, sys.executable, __file__, "--rows", row, "--calls", str(calls)],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1].replace(",", ""))


def _call(row: str, calls: int) -> None:
    with tempfile.TemporaryDirectory(prefix="aden-bench-") as directory:
        client = _client()
        _instrument(row, f"{directory}/ledger.db")
        for number in range(WARM_UP + calls):
            if number == WARM_UP:
                gc.collect()
                gc.freeze()
            client.chat.completions.create(**REQUEST)
    os._exit(0)  # what the end of a process takes is not a call's


if __name__ == "__main__":
    main()
