"""What a refusal costs the caller, in µs: asked of the ledger, and repeated from memory.

From ``client.chat.completions.create`` to the exception, median and p99; the ledger is asked anew
where each request is smaller than the one that was refused before it. Run: make bench
"""

import contextlib
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import openai

import aden

CALLS = 400
MESSAGES = [
    {"role": "system", "content": "You are a hotel's voice agent. " * 8},
    {"role": "user", "content": "Is there a room for two tonight?"},
]


def main() -> None:
    """Print a row for each ledger that is named, memory and SQLite by default."""
    with tempfile.TemporaryDirectory() as directory:
        urls = sys.argv[1:] or ["memory:", f"sqlite://{directory}/ledger.db"]
        if len(urls) == 1:
            return _row(urls[0])
        print(f"{'µs a refusal, median / p99':<30}{'asked':>18}{'repeated':>18}", flush=True)
        for url in urls:
            subprocess.run([sys.executable, __file__, url], check=True)  # noqa: S603 - ourselves
    return None


def _row(url: str) -> None:
    logging.disable(logging.CRITICAL)
    aden.instrument(ledger=url, budgets=[aden.Budget("all", 0)])
    client = openai.OpenAI(api_key="key", base_url="http://127.0.0.1:9/v1", max_retries=0)
    request: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
    asked = [_timed(client, request | {"max_tokens": 2 * CALLS - each}) for each in range(CALLS)]
    repeated = [_timed(client, request | {"max_tokens": 2 * CALLS}) for _ in range(10 * CALLS)]
    name = url.partition("?")[0].partition(":")[0]
    print(f"{name:<30}{_shown(asked):>18}{_shown(repeated):>18}", flush=True)


def _timed(client: openai.OpenAI, request: dict[str, Any]) -> float:
    started = time.perf_counter()
    with contextlib.suppress(aden.RequestCancelledError):
        client.chat.completions.create(**request)
    return (time.perf_counter() - started) * 1e6


def _shown(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} / {sorted(times)[len(times) * 99 // 100]:.0f}"


if __name__ == "__main__":
    main()
