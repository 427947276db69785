"""A call whose caller is interrupted by a signal's handler after the provider has answered."""

import time
from pathlib import Path
from typing import Any

import openai

import aden
from aden.instrumentation.active import active_meter
from aden.testing import OpenAIServer
from strikes import struck


def test_a_call_that_is_interrupted_while_its_answer_is_read_holds_nothing(
    tmp_path: Path,
) -> None:
    """Its lease would be renewed as long as the process lives: nobody comes back to it."""
    with OpenAIServer(ttft_ms=0, token_interval_ms=0) as server:
        aden.instrument(budgets=[aden.Budget("b", 100)], ledger=f"sqlite://{tmp_path}/ledger.db")
        client = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0)

        def call(_: int) -> None:
            said: Any = [{"role": "user", "content": "in 3 tokens"}]
            client.chat.completions.create(model="gpt-4o-mini", messages=said)

        try:
            call(0)
            meter = active_meter()
            assert meter is not None
            places = 0
            for place in struck(call, after="take_response", every=7):
                places += 1
                deadline = time.monotonic() + 3
                while meter.ledger.open_holds() or meter.leases._held or meter.on_their_way:
                    assert time.monotonic() < deadline, place
                    time.sleep(0.002)
            assert places > 20
        finally:
            aden.uninstrument()
