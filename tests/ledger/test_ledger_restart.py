"""A rolling restart that kills fifty workers in mid-call."""

import os
import sys
import time
from pathlib import Path

import pytest
from ledger_kit import (
    PATIENT_S,
    Store,
    ask,
    balance,
    figures,
    finished,
    granted,
    line,
    python,
    refused,
)
from redis_kit import RedisServer

from aden.ledger.redis import RedisLedger
from aden.ledger.sqlite import SqliteLedger

WORKERS = 50
LIMIT = WORKERS * 10 + (WORKERS // 2) * 6 + 10
"""What all workers spend, what is unconfirmed of every other one, and one call more."""

KILLED_WORKERS = f"""
import os, signal, sys, time
from pathlib import Path
from ledger_kit import *
from aden.ledger.redis import RedisLedger
from aden.ledger.sqlite import SqliteLedger

def reserve(ledger, name):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        wanted = line(amount=10, at_risk=6, limit={LIMIT})
        answer = ledger.reserve(ask(name, wanted, lease_ms=1_000))
        if isinstance(answer, Grant):
            return
        if answer.reason != "busy":
            print("phantom refusal:", answer, flush=True)
            os._exit(1)
        time.sleep(0.05)
    print("never granted:", name, flush=True)
    os._exit(1)

def work(number, place):
    redis = place.startswith("redis")
    ledger = RedisLedger(place, deadline_s={PATIENT_S}) if redis else SqliteLedger(Path(place))
    reserve(ledger, f"done {{number}}")
    ledger.settle(charged(f"done {{number}}", 10))
    reserve(ledger, f"open {{number}}")
    if number % 2:
        ledger.mark_sent(f"open {{number}}", sent=False)
    assert ledger.flush(10)
    os.kill(os.getpid(), signal.SIGKILL)

running = set()
for number in range({WORKERS}):
    if len(running) == 4:
        running.discard(os.wait()[0])
    child = os.fork()
    if child == 0:
        try:
            work(number, sys.argv[1])
        finally:
            os._exit(2)
    running.add(child)
while running:
    running.discard(os.wait()[0])
"""


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="forks")
@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_a_rolling_restart_leaves_a_right_spend_and_refuses_nobody_wrongly(
    store: str, path: Path, redis_server: RedisServer
) -> None:
    """What was settled is exact, what was sent is unconfirmed, what was not sent is given back."""
    place = str(path) if store == "sqlite" else redis_server.url("restart")
    ledger: Store = (
        SqliteLedger(path) if store == "sqlite" else RedisLedger(place, deadline_s=PATIENT_S)
    )

    assert finished(python(KILLED_WORKERS, place), 110) == ""

    deadline = time.monotonic() + 10
    while balance(ledger).held and time.monotonic() < deadline:
        time.sleep(0.1)
    assert figures(ledger) == (WORKERS * 10, WORKERS // 2 * 6, 0)
    assert [held.state for held in ledger.holds()] == ["unconfirmed"] * (WORKERS // 2)
    assert refused(ledger.reserve(ask("a", line(amount=11, limit=LIMIT)))).reason == "exhausted"
    granted(ledger.reserve(ask("a", line(amount=10, limit=LIMIT))))
    ledger.close()
