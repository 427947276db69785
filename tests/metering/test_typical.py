"""When the typical output of a model is read: after answers, where a process gets any."""

from types import SimpleNamespace
from typing import Any

import pytest

from aden.ledger.memory import MemoryLedger
from aden.metering import reservation
from aden.metering.reservation import LEARNED_FOR_S, TYPICAL_FOR_S, Reserver

MODEL = "openai/m"


class _Ledger(MemoryLedger):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def typical_output(self, model: str) -> int:
        """As often as it was asked."""
        self.reads += 1
        return self.reads


@pytest.fixture
def ledger() -> _Ledger:
    """What is asked."""
    return _Ledger()


@pytest.fixture
def reserver(ledger: _Ledger) -> Reserver:
    """Who asks."""
    meter: Any = SimpleNamespace(ledger=ledger, settler=SimpleNamespace(report=None))
    return Reserver(meter)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The monotonic one, which stands."""
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(reservation, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_request_does_not_read_what_was_read_after_the_last_answer(
    reserver: Reserver, ledger: _Ledger, clock: SimpleNamespace
) -> None:
    """A turn every few seconds: the file is read behind each, ahead of the first only."""
    assert reserver.typical_output(MODEL) == 1
    for turn in range(5):
        clock.now += 3
        reserver.learned((MODEL, 100))
        clock.now += 3
        assert reserver.typical_output(MODEL) == turn + 2
    assert ledger.reads == 6


def test_what_this_process_has_learned_is_not_missed_for_long(
    reserver: Reserver, clock: SimpleNamespace
) -> None:
    """Many answers at once are no reason to read many times, and the last of them counts."""
    reserver.typical_output(MODEL)
    for _ in range(8):
        reserver.learned((MODEL, 100))
    assert reserver.typical_output(MODEL) == 1

    clock.now += LEARNED_FOR_S + 0.01

    assert reserver.typical_output(MODEL) == 2


def test_what_others_have_learned_is_read_in_time(
    reserver: Reserver, clock: SimpleNamespace
) -> None:
    """Also where nothing is settled here."""
    reserver.typical_output(MODEL)
    clock.now += TYPICAL_FOR_S - 0.01
    assert reserver.typical_output(MODEL) == 1
    clock.now += 0.02
    assert reserver.typical_output(MODEL) == 2


def test_nobody_reads_for_a_model_that_nobody_asks(reserver: Reserver, ledger: _Ledger) -> None:
    """Nor where an answer taught nothing."""
    reserver.learned(("openai/other", 100))
    reserver.learned(None)

    assert ledger.reads == 0
