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
from aden.ledger import Ledger
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


def gone(ledger: Ledger) -> dict[str, bool]:
    """Of each budget that the ledger was told of, whether it is defined no more."""
    notes = {name: Note.from_json(text) for name, text in ledger.descriptions().items()}
    return {name: note is not None and note.gone_at is not None for name, note in notes.items()}


def test_what_a_source_has_no_more_is_gone_until_it_is_back() -> None:
    """Another file's, and those of code, are not its to say anything of."""
    ledger = MemoryLedger()
    make_known(ledger, [Budget("a", "1"), Budget("b", "1")], "host:/one.toml")
    make_known(ledger, [Budget("c", "1")], "host:/two.toml")
    make_known(ledger, [Budget("d", "1")])
    make_known(ledger, [Budget("a", "1")], "host:/one.toml")
    assert gone(ledger) == {"a": False, "b": True, "c": False, "d": False}
    make_known(ledger, [], "host:/one.toml")
    make_known(ledger, [Budget("b", "1")], "host:/one.toml")
    assert gone(ledger) == {"a": True, "b": False, "c": False, "d": False}
    with pytest.raises(ConfigurationError, match="budget a: limit"):
        make_known(ledger, [Budget("a", limit=tokens(5))], "host:/one.toml")


def test_a_budget_that_is_taken_out_of_the_file_is_gone(
    instrumented: Callable[..., House], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an edit, and by one that was made while no program ran."""
    path = tmp_path / "budgets.toml"
    monkeypatch.setenv("ADEN_BUDGETS", str(path))

    def write(*ids: str) -> None:
        path.write_text("".join(f'[[budget]]\nid = "{each}"\nlimit_usd = 1\n' for each in ids))
        then = time.time_ns() - 60_000_000_000 + len(ids)
        os.utime(path, ns=(then, then))

    write("a", "b", "c")
    house = instrumented(budgets=None, ledger=f"sqlite://{tmp_path}/ledger.db")
    write("a", "b")
    deadline = time.monotonic() + 30
    while not gone(house.ledger)["c"] and time.monotonic() < deadline:
        house.meter.policy()
        time.sleep(0.05)
    assert gone(house.ledger) == {"a": False, "b": False, "c": True}
    aden.AdenInstrumentor().uninstrument()
    write("a")
    house = instrumented(budgets=None, ledger=f"sqlite://{tmp_path}/ledger.db")
    assert gone(house.ledger) == {"a": False, "b": True, "c": True}


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
        told = json.loads(house.ledger.descriptions()["calls"])
        modes.append(told["mode"])
        found: int = told["limit"]
        return found

    modes: list[str] = []

    assert edit(MONEY.format(25)) == 25_000_000_000
    assert edit(TOKENS) == 25_000_000_000
    assert "expected usd, in which its ledger counts it" in caplog.text
    assert house.meter.policy().budgets[0].limit.unit == "usd"
    edit('mode = "observe"\n' + MONEY.format(25))
    assert modes == ["enforce", "enforce", "observe"]
