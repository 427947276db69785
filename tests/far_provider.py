"""The local provider in a process of its own, as real ones are: it hears at once who hangs up.

A thread of the test's process hears of it when the interpreter lets it, which on a busy machine is
some tokens later.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aden.testing import BillItem

_PROGRAM = """
import pickle, sys
from aden.testing import OpenAIServer
ttft_ms, interval_ms = map(float, sys.argv[1:])
with OpenAIServer(ttft_ms=ttft_ms, token_interval_ms=interval_ms) as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
    assert server.wait_idle(10)
    sys.stdout.buffer.write(pickle.dumps(server.bill.items))
"""


class FarProvider:
    """Where it listens, and what it has billed."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        assert process.stdout is not None
        self.base_url = process.stdout.readline().decode().strip()

    def end(self) -> tuple[BillItem, ...]:
        """Let it serve to the end what it serves, and stop it: the bill."""
        said, _ = self._process.communicate(timeout=30)
        items: tuple[BillItem, ...] = pickle.loads(said)  # noqa: S301 - our own
        return items


@contextmanager
def far_provider(*, ttft_ms: float, token_interval_ms: float) -> Iterator[FarProvider]:
    """A provider while the block lasts."""
    arguments = [str(ttft_ms), str(token_interval_ms)]
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield FarProvider(process)
    finally:
        process.kill()
        process.wait()
