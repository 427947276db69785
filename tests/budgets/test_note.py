"""What a ledger is told of budgets, and what it makes of it."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

import aden
from aden import Budget, ConfigurationError, requests, tokens
from aden.budgets.note import Note, make_known
from aden.budgets.watch import LOOK_EVERY_S
from aden.ledger.memory import MemoryLedger
from aden.runtime import current_runtime
from aden.testing import OpenAIServer
from house import House

MONEY = '[[budget]]\nid = "calls"\nlimit_usd = "{}"\n'
TOKENS = '[[budget]]\nid = "calls"\nlimit_tokens = 1000\n'


def test_a_budget_does_not_change_its_unit() -> None:
    """Its nano-dollars would be read as tokens; another limit and another id are no matter."""
    ledger = MemoryLedger()
    make_known(ledger, [Budget("calls", "1"), Budget("rate", limit=requests(5))])
    make_known(ledger, [Budget("calls", "2"), Budget("tokens", limit=tokens(5))])
    with pytest.raises(ConfigurationError, match=r"budget calls: limit='tokens'.*expected usd"):
        make_known(ledger, [Budget("calls", limit=tokens(5))])
    note = Note.from_json(ledger.descriptions()["calls"])
    assert note is not None
    assert (note.limit.unit, note.limit.amount) == ("usd", 2_000_000_000)


def test_a_program_with_another_unit_does_not_start(
    server: OpenAIServer, instrumented: Callable[..., House], tmp_path: Path
) -> None:
    """Nor does it change what is in force."""
    url = f"sqlite://{tmp_path}/ledger.db"
    instrumented(budgets=[Budget("calls", "1")], ledger=url)
    with pytest.raises(ConfigurationError, match="budget calls"):
        aden.instrument(aden.MeterOptions(budgets=[Budget("calls", limit=tokens(5))], ledger=url))
    runtime = current_runtime()
    assert runtime is not None
    assert runtime.meter.policy().budgets[0].limit.unit == "usd"


def test_the_ledger_is_told_of_an_edit_and_an_edit_of_the_unit_is_refused(
    server: OpenAIServer,
    instrumented: Callable[..., House],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """So an operator sees the limit that is in force."""
    path = tmp_path / "budgets.toml"
    path.write_text(MONEY.format(1))
    monkeypatch.setenv("ADEN_BUDGETS", str(path))
    house = instrumented(budgets=None, ledger=f"sqlite://{tmp_path}/ledger.db")
    client = openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0)

    def edit(text: str) -> int:
        """The limit that the ledger knows afterwards."""
        path.write_text(text)
        then = time.time_ns() - 60_000_000_000 + len(text)
        os.utime(path, ns=(then, then))
        time.sleep(LOOK_EVERY_S)
        question = {"role": "user", "content": "hello"}
        client.chat.completions.create(model="gpt-4o", messages=[question], max_tokens=5)  # type: ignore[list-item]
        time.sleep(0.2)
        found: int = json.loads(house.ledger.descriptions()["calls"])["limit"]
        return found

    assert edit(MONEY.format(25)) == 25_000_000_000
    assert edit(TOKENS) == 25_000_000_000
    assert "expected usd, in which its ledger counts it" in caplog.text
    assert house.meter.policy().budgets[0].limit.unit == "usd"
