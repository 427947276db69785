"""Short ways to say what the ledger tests ask for."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import aden
from aden.core.window import Window
from aden.ledger import (
    AlertClaim,
    Ask,
    Balance,
    Charge,
    Grant,
    Ledger,
    Line,
    Option,
    Refusal,
    Settlement,
)
from aden.ledger.journal import Keep
from aden.ledger.memory import MemoryLedger
from aden.ledger.redis import RedisLedger
from aden.ledger.sqlite import SqliteLedger
from aden.testing.clock import FixedClock

TOTAL = Window("total")
SOURCE = str(Path(aden.__file__).parents[1])
PATIENT_S = 10.0
"""A deadline for tests of something else, on a machine that does other work as well."""
Store = MemoryLedger | SqliteLedger | RedisLedger


class EventfulClock(FixedClock):
    """A clock that lets something happen in the middle of a ledger's turn: when it is read."""

    meanwhile: Callable[[], None] | None = None

    def __call__(self) -> float:
        """Unix seconds."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().__call__()


def typical(store: Ledger, model: str) -> int | None:
    """The typical output, after all that was settled; a Redis ledger reads it when it can."""
    if isinstance(store, RedisLedger):
        store._refresh()
        assert store.flush(5)
    return store.typical_output(model)


def another(store: Store, clock: FixedClock, journal_calls: int) -> Store:
    """An empty ledger of the same kind with a shorter journal."""
    return with_journal(store, clock, Keep(journal_calls))


def with_journal(store: Store, clock: FixedClock, keep: Keep) -> Store:
    """An empty ledger of the same kind whose journal is bounded so."""
    if isinstance(store, MemoryLedger):
        return MemoryLedger(clock, keep=keep)
    if isinstance(store, RedisLedger):
        url = store.url.replace("namespace=", "namespace=another-")
        return RedisLedger(url, clock, keep=keep, deadline_s=PATIENT_S)
    path = store.path.with_name("short.db")
    return SqliteLedger(path, clock, keep=keep)


def line(
    budget: str = "b",
    amount: int = 10,
    limit: int = 100,
    *,
    window: Window = TOTAL,
    at_risk: int | None = None,
    below: int | None = None,
    enforce: bool = True,
    soft: bool = False,
) -> Line:
    """A line that is wholly at risk, if nothing else is said."""
    risk = amount if at_risk is None else at_risk
    return Line(budget, window, limit, amount, risk, below, enforce, soft)


def ask(operation: str, *lines: Line, lease_ms: int = 60_000) -> Ask:
    """An ask with one option."""
    return Ask(operation, (Option(lines),), lease_ms)


def options(operation: str, *choices: Sequence[Line]) -> Ask:
    """An ask with an option for each sequence of lines."""
    return Ask(operation, tuple(Option(tuple(lines)) for lines in choices))


def granted(answer: Grant | Refusal) -> Grant:
    """The answer, which has to be a grant."""
    assert isinstance(answer, Grant), answer
    return answer


def refused(answer: Grant | Refusal) -> Refusal:
    """The answer, which has to be a refusal."""
    assert isinstance(answer, Refusal), answer
    return answer


def charged(operation: str, amount: int, budget: str = "b", window_id: str = "total") -> Settlement:
    """A settlement with one charge."""
    return Settlement(operation, (Charge(budget, window_id, amount),))


def claimed(
    ledger: Ledger, budget: str, window_id: str, threshold: int, epoch: int = 0
) -> AlertClaim | None:
    """The alert, where it is free."""
    seen = Balance(budget, window_id, None, epoch=epoch)
    return ledger.claim_alert(seen, threshold)


def balance(ledger: Ledger, budget: str = "b", window: Window = TOTAL) -> Balance:
    """What the budget's current window holds."""
    (found,) = ledger.balances([(budget, window)])
    return found


def figures(ledger: Ledger, budget: str = "b", window: Window = TOTAL) -> tuple[int, int, int]:
    """(settled, unconfirmed, held)."""
    found = balance(ledger, budget, window)
    return found.settled, found.unconfirmed, found.held


def python(program: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start *program* (Python text) in a process of its own, which can import what we can."""
    path = os.pathsep.join([SOURCE, str(Path(__file__).parent)])
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def said(process: "subprocess.Popen[str]") -> str:
    """The process's next line."""
    assert process.stdout is not None
    heard = process.stdout.readline().strip()
    assert heard, process.communicate()[1]
    return heard


def finished(process: "subprocess.Popen[str]", timeout_s: float = 50) -> str:
    """All that the process says till its end, which has to be a good one."""
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, err
    return out


KEEPS_THE_FILE_LOCKED = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2])) if sys.argv[2] != "ask" else sys.stdin.readline()
connection.execute("COMMIT")
print("free", flush=True)
"""


def lock(path: Path, seconds: float | str = "ask") -> "subprocess.Popen[str]":
    """A process that has the file's write lock for *seconds*, or until it is told to let go."""
    process = python(KEEPS_THE_FILE_LOCKED, path, seconds)
    assert said(process) == "locked"
    return process


def unlock(process: "subprocess.Popen[str]") -> None:
    """Tell the process to let go, and wait until it has."""
    assert "free" in process.communicate("go\n")[0]
