"""A collector that has stopped answering holds no job's exit up."""

import time
from pathlib import Path

import pytest
from exits import Shop, shop


@pytest.mark.parametrize("executor", ["forkserver", "spawn"])
def test_a_job_ends_in_time_although_nobody_takes_its_telemetry(
    executor: str, tmp_path: Path
) -> None:
    """Telemetry is lost then, and said to be; the spend is in the ledger, and the process ends."""
    with shop(tmp_path, executor) as it:
        usual = _time_to_end(it, "AJ_usual")
        it.sink.silent = True
        stuck = _shortest_to_end(it, "AJ_stuck", within=usual + 2.8)
        assert stuck - usual < 2.8, f"{stuck:.1f} s instead of {usual:.1f} s"
        assert len(it.calls("AJ_stuck1")) == 1
        assert "telemetry was not taken within 2 s" in it.worker.output


def _shortest_to_end(it: Shop, job: str, within: float) -> float:
    """Seconds that the quickest of up to four jobs takes to end.

    What the others take beyond that, the machine gave to something else: a worker then starts the
    process for its next job.
    """
    shortest = float("inf")
    for number in range(1, 5):
        shortest = min(shortest, _time_to_end(it, f"{job}{number}"))
        if shortest < within:
            break
    return shortest


def _time_to_end(it: Shop, job: str) -> float:
    """Seconds from a job's `ctx.shutdown()` to the end of its process."""
    it.start(job, ask=1, then="shutdown")
    it.has_asked(job)
    asked = time.monotonic()
    it.gone(job)
    return time.monotonic() - asked
