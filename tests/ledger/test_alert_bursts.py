"""An alert comes by itself: no later call is needed to tell what a burst has crossed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import openai
import pytest

import aden
from aden import Alert, Budget, requests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aden.testing import OpenAIServer
    from house import House

CALLS = 4
BUDGET = Budget("burst", limit=requests(CALLS), ladder=[Alert(75), Alert(100, "critical")])
REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "in 5 tokens"}],
}

AT_EXIT = """
import asyncio, sys
import aden, openai
from aden import Alert, Budget, requests

CALLS = 4

async def main():
    together = asyncio.Barrier(CALLS)

    async def wait_for_all(params, context):
        await together.wait()
        return aden.BeforeRequestResult.proceed()

    async def tell(alert):
        await asyncio.sleep(0)
        print(alert.level, alert.id, flush=True)

    aden.instrument(
        budgets=[Budget("burst", limit=requests(CALLS), ladder=[Alert(75)])],
        ledger=sys.argv[2], before_request=wait_for_all, on_alert=tell,
    )
    client = openai.AsyncOpenAI(base_url=sys.argv[1], api_key="k", max_retries=0)
    ask = dict(model="gpt-4o", messages=[{"role": "user", "content": "in 5 tokens"}])
    await asyncio.gather(*(client.chat.completions.create(**ask) for _ in range(CALLS)))

asyncio.run(main())
"""


def url_of(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A ledger of this kind."""
    if kind == "redis":
        return str(request.getfixturevalue("redis_server").url())
    return "memory:" if kind == "memory" else f"sqlite://{tmp_path / 'ledger.db'}"


STORES = pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])


@STORES
async def test_a_burst_that_was_reserved_at_once_is_told_without_another_call(
    kind: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """Each call saw an empty budget and cost a quarter; together they crossed both steps."""
    together = asyncio.Barrier(CALLS)
    seen: list[float] = []
    told: list[tuple[str, asyncio.AbstractEventLoop]] = []

    async def wait_for_all(params: Any, context: Any) -> aden.BeforeRequestResult:
        seen.append(context.budget["spent"])
        await together.wait()
        return aden.BeforeRequestResult.proceed()

    async def tell(alert: Any) -> None:
        await asyncio.sleep(0)
        told.append((alert.level, asyncio.get_running_loop()))

    instrumented(
        budgets=[BUDGET],
        ledger=url_of(kind, tmp_path, request),
        before_request=wait_for_all,
        on_alert=tell,
    )
    headers = {"connection": "close"}
    async with openai.AsyncOpenAI(
        base_url=server.base_url, api_key="k", max_retries=0, default_headers=headers
    ) as client:
        await asyncio.gather(*(client.chat.completions.create(**REQUEST) for _ in range(CALLS)))
        assert seen == [0] * CALLS
        async with asyncio.timeout(30):
            while len(told) < 2:
                await asyncio.sleep(0.02)
    home = asyncio.get_running_loop()
    assert told == [("warning", home), ("critical", home)]


@STORES
def test_a_process_that_ends_at_once_tells_what_is_due(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, server: OpenAIServer
) -> None:
    """Its loop is closed by then: an async handler runs all the same."""
    url = url_of(kind, tmp_path, request)
    command = [sys.executable, "-c", AT_EXIT, server.base_url, url]
    patient = os.environ | {"ADEN_FLUSH_TIMEOUT": "30"}  # on a machine that does other work as well
    ended = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=90, env=patient
    )
    assert ended.stdout.splitlines() == ["warning burst:total:3"], ended.stderr
