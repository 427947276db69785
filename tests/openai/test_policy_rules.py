"""Rules, modes and a changed file, as a user of the openai SDK meets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from guide import spend

import aden
from aden import Alert, BeforeRequestResult, Block, Budget, Degrade, RequestCancelledError, Rule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aden.ledger.protocol import AlertClaim, Balance
    from aden.testing import OpenAIServer
    from house import House

MESSAGES: Any = [{"role": "user", "content": "Hello in 12 tokens."}]


@pytest.fixture
def ask(server: OpenAIServer) -> Callable[..., Any]:
    """One chat completion."""
    client = openai.OpenAI(base_url=server.base_url, api_key="k")

    def ask(model: str = "gpt-4o") -> Any:
        return client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=50)

    return ask


def test_a_blocked_model_never_reaches_the_provider(
    server: OpenAIServer, instrumented: Callable[..., House], ask: Callable[..., Any]
) -> None:
    """The refusal says ``policy`` and the rule's own words; another model goes."""
    house = instrumented(rules=[Rule(Block("not in production"), {"model": "gpt-4*"})])
    with pytest.raises(RequestCancelledError, match="not in production") as caught:
        ask("gpt-4o")
    assert (caught.value.reason, caught.value.source) == ("policy", "policy")
    assert server.bill.items == ()
    ask("o4-mini")
    refused, _ = house.settled(2)
    assert (refused.decision.action, refused.attempts) == ("block", 0)


def test_a_hook_cannot_lead_to_a_blocked_model(
    server: OpenAIServer, instrumented: Callable[..., House], ask: Callable[..., Any]
) -> None:
    """The rule decides about what is sent, whoever chose it."""
    instrumented(
        rules=[Rule(Block("no minis"), {"model": "*-mini"})],
        before_request=lambda params, context: BeforeRequestResult.degrade("gpt-4o-mini"),
    )
    with pytest.raises(RequestCancelledError, match="no minis"):
        ask()
    assert server.bill.items == ()


def test_a_rule_sends_another_model_and_its_price_is_booked(
    server: OpenAIServer, instrumented: Callable[..., House], ask: Callable[..., Any]
) -> None:
    """The provider's bill and the record agree."""
    house = instrumented(rules=[Rule(Degrade(0, "gpt-4o-mini"), {"model": "gpt-4o"})])
    ask()
    record, span = house.one_call()
    (item,) = server.bill.items
    assert (item.model, record.model, record.asked_model) == (
        "gpt-4o-mini",
        "gpt-4o-mini",
        "gpt-4o",
    )
    assert record.usage.output_tokens == item.output_tokens
    price = house.meter.prices.find(record.provider, "gpt-4o-mini")
    assert price is not None
    assert record.cost == price.cost(record.usage)
    assert span.attributes is not None
    assert span.attributes["aden.decision.source"] == "policy"


@pytest.mark.parametrize("where", ["everywhere", "budget"])
def test_an_observed_budget_refuses_nothing_and_says_what_it_would_have_done(
    where: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
    ask: Callable[..., Any],
) -> None:
    """On the record, on the span and in a counter."""
    everywhere = where == "everywhere"
    budget = Budget("all", "0.01", mode="enforce" if everywhere else "observe")
    house = instrumented(budgets=[budget], mode="observe" if everywhere else "enforce")
    spend(house, 0.01)
    ask()
    record, span = house.one_call()
    assert len(server.bill.items) == 1
    assert record.decision.action == "allow"
    assert record.observed is not None
    assert (record.observed.action, record.observed.reason, record.observed.budget_id) == (
        "block",
        "exhausted",
        "all",
    )
    assert type(record).from_json(record.to_json()) == record
    assert span.attributes is not None
    assert span.attributes["aden.decision.action"] == "allow"
    assert span.attributes["aden.decision.observed.action"] == "block"
    assert span.attributes["aden.decision.observed.reason"] == "exhausted"
    assert span.attributes["aden.decision.observed.budget_id"] == "all"
    (point,) = house.metric("aden.client.observed_decisions")
    assert point.value == 1
    assert point.attributes["aden.decision.observed.action"] == "block"
    assert house.balance().spent > 10_000_000  # it is counted all the same


def test_nothing_is_said_of_observing_where_nothing_is_observed(
    instrumented: Callable[..., House], ask: Callable[..., Any]
) -> None:
    """An enforced budget has one decision."""
    house = instrumented()
    ask()
    record, span = house.one_call()
    assert record.observed is None
    assert span.attributes is not None
    assert not [name for name in span.attributes if "observed" in name]
    assert house.metric("aden.client.observed_decisions") == []


def test_observing_a_hook_lets_its_refusal_through(
    instrumented: Callable[..., House], ask: Callable[..., Any]
) -> None:
    """``ADEN_MODE=observe`` enforces nothing, whoever decided it."""
    house = instrumented(
        mode="observe", before_request=lambda params, context: BeforeRequestResult.cancel("no")
    )
    ask()
    (record,) = house.settled()
    assert record.observed is not None
    assert (record.observed.action, record.observed.source) == ("block", "hook")


def test_off_asks_neither_budgets_nor_rules_nor_the_hook(
    instrumented: Callable[..., House], ask: Callable[..., Any]
) -> None:
    """What is spent is still metered and shown."""
    house = instrumented(
        mode="off",
        budgets=[Budget("all", 0)],
        rules=[Rule(Block())],
        before_request=lambda params, context: BeforeRequestResult.cancel("no"),
    )
    ask()
    (record,) = house.settled()
    assert record.cost > 0
    assert record.observed is None


def test_an_alert_of_a_rule_is_raised_once_a_day(
    instrumented: Callable[..., House], ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with each of the calls that it is about."""
    alerts: list[Any] = []
    house = instrumented(
        rules=[Rule(Alert(0, "info", "gpt-4 is in use"), {"model": "gpt-4*"})],
        on_alert=alerts.append,
    )
    claims: list[str] = []
    claim_alert = house.ledger.claim_alert

    def claim(balance: Balance, threshold: int) -> AlertClaim | None:
        claims.append(balance.budget)
        return claim_alert(balance, threshold)

    monkeypatch.setattr(house.ledger, "claim_alert", claim)
    ask("o4-mini")
    for _ in range(3):
        ask("gpt-4o")
        aden.flush()
    actions = [record.decision.action for record in house.settled(4)]
    assert actions == ["allow", "alert", "alert", "alert"]
    assert [(event.level, event.message) for event in alerts] == [("info", "gpt-4 is in use")]
    assert len(claims) == 1, "the ledger is not asked with each call"


def test_the_mode_in_the_file_changes_without_a_restart(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    instrumented: Callable[..., House],
    ask: Callable[..., Any],
) -> None:
    """Refused, then only observed, then refused again, in one process; the file beats ADEN_MODE."""
    path = tmp_path / "budgets.toml"
    monkeypatch.setenv("ADEN_BUDGETS", str(path))
    monkeypatch.setenv("ADEN_MODE", "enforce")

    def write(mode: str) -> None:
        path.write_text(f'{mode}\n[[budget]]\nid = "all"\nlimit_usd = 0\n')
        then = time.time_ns() - 10**10
        os.utime(path, ns=(then, then))
        time.sleep(1.1)  # it is looked at once a second

    write("")
    house = instrumented(budgets=None)
    with pytest.raises(RequestCancelledError):
        ask()
    write('mode = "observe"')
    ask()
    write('mode = "enforce"')
    with pytest.raises(RequestCancelledError):
        ask()
    observed = [record.observed.action for record in house.calls.records if record.observed]
    assert observed == ["block"]


PROGRAM = """
import json, sys, openai, aden
from aden.testing import RecordingEmitter
calls = RecordingEmitter()
aden.instrument(emit_metric=calls)
client = openai.OpenAI(base_url=sys.argv[1], api_key="k")
for _ in range(4):
    messages = [{"role": "user", "content": "Hi"}]
    client.chat.completions.create(model="gpt-4o-mini", messages=messages)
aden.flush(5)
print(json.dumps([record.decision.action for record in calls.records]))
"""


def test_a_rate_is_shared_by_all_processes_of_a_ledger(
    tmp_path: Path, server: OpenAIServer
) -> None:
    """Three a minute over two processes that make eight: five are delayed, none is refused."""
    path = tmp_path / "budgets.toml"
    path.write_text(
        """
[[budget]]
id = "rate"
limit_requests = 3
window = "rolling 60s"
beyond = "throttle"
ladder = [{ action = "throttle", at = 100, delay_ms = 30 }]
"""
    )
    env = {**os.environ, "ADEN_BUDGETS": str(path), "ADEN_LEDGER": f"sqlite://{tmp_path}/ledger.db"}
    command = [sys.executable, "-c", PROGRAM, server.base_url]
    running = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    actions = [
        action
        for process in running
        for action in json.loads(process.communicate(timeout=60)[0].splitlines()[-1])
    ]
    assert len(server.bill.items) == 8
    assert sorted(actions) == ["allow"] * 3 + ["throttle"] * 5
