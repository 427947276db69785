"""The end of a process: what is open is booked, and nothing is waited for twice."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aden import Budget
from aden.ledger import open_ledger
from aden.testing import OpenAIServer
from otlp_sink import OTLPSink
from pythons import VERSIONS, interpreter

OPEN_STREAM = """
import aden, openai, sys
aden.instrument(budgets=[aden.Budget("b", "1")], ledger=sys.argv[2])
client = openai.OpenAI(base_url=sys.argv[1], api_key="k")
stream = client.chat.completions.create(
    model="gpt-4o", messages=[{"role": "user", "content": "in 200 tokens"}], stream=True
)
for _ in range(5):
    next(stream)
"""

SLOW_EMITTER = """
import aden, openai, sys, time
aden.instrument(ledger="memory:", emit_metric=lambda record: time.sleep(60))
openai.OpenAI(base_url=sys.argv[1], api_key="k").chat.completions.create(
    model="gpt-4o", messages=[{"role": "user", "content": "in 5 tokens"}]
)
print("done", flush=True)
"""

SHORT = """
import aden, openai, os, sys
aden.instrument(budgets=[], ledger="memory:")
if sys.argv[2] == "forked" and (child := os.fork()):
    sys.exit(os.waitpid(child, 0)[1])
client = openai.OpenAI(base_url=sys.argv[1], api_key="k")
for _ in range(5):
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
"""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("process", ["started", "forked"])
def test_what_a_process_told_last_arrives(version: str, process: str) -> None:
    """Nothing of it waits for the next second, also where the end starts no thread any more."""
    if (python := interpreter(version)) is None:
        pytest.skip(f"no Python {version} was built")
    if process == "forked" and not hasattr(os, "fork"):
        pytest.skip("there is no fork")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "ADEN_"))}
    with OpenAIServer(ttft_ms=0, token_interval_ms=0) as server, OTLPSink() as sink:
        subprocess.run(
            [python, "-c", SHORT, server.base_url, process],
            env=clean | {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "ADEN_FLUSH_TIMEOUT": "60"},
            check=True,
            timeout=100,
        )
        assert sink.total("aden.client.decisions") == 5
        assert len(sink.spans) == 5


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stream_that_is_open_at_the_end_is_booked(version: str, tmp_path: Path) -> None:
    """Law 6 names process exit: no hold is left behind for a lease to find.

    And the process ends well. Without Aden, Python 3.13 dies of such a stream (gh-132413).
    """
    if (python := interpreter(version)) is None:
        pytest.skip(f"no Python {version} was built")
    url = f"sqlite://{tmp_path / 'ledger.db'}"
    with OpenAIServer(ttft_ms=5, token_interval_ms=10) as server:
        subprocess.run([python, "-c", OPEN_STREAM, server.base_url, url], check=True, timeout=60)
        server.wait_idle()
        (billed,) = server.bill.items
    ledger = open_ledger(url)
    (record,) = ledger.journal()
    (balance,) = ledger.balances([("b", Budget("b", 1).span)])
    assert (balance.held, balance.spent) == (0, record.cost)
    assert record.stream_end == "abandoned"
    assert record.usage.output_tokens is not None
    assert abs(record.usage.output_tokens - billed.output_tokens) <= 1  # made, but not sent
    ledger.close()


def test_an_emitter_that_hangs_holds_the_exit_up_once() -> None:
    """The time-out is one for the whole process, not one for each of its ends."""
    with OpenAIServer(ttft_ms=0, token_interval_ms=0) as server:
        started = subprocess.Popen(
            [sys.executable, "-c", SLOW_EMITTER, server.base_url],
            stdout=subprocess.PIPE,
            env={**os.environ, "ADEN_FLUSH_TIMEOUT": "4"},
        )
        assert started.stdout is not None
        assert started.stdout.readline() == b"done\n"
        ending = time.monotonic()
        assert started.wait(timeout=60) == 0
        assert 3 < time.monotonic() - ending < 7.5
        started.stdout.close()


def test_an_exporter_that_cannot_be_made_takes_nothing_else_down() -> None:
    """Broken telemetry is said; the gate stands."""
    code = (
        "import aden, aden.livekit; from aden.runtime import current_runtime; "
        "aden.livekit.prewarm(); "
        "print(current_runtime().meter.policy().missing)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={
            "PATH": "",
            "PYTHONPATH": ":".join(sys.path),
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_BSP_MAX_QUEUE_SIZE": "0",
        },
    )
    assert done.stdout.strip() == "None"
    assert "telemetry could not be set up" in done.stderr
