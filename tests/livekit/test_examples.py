"""The examples as a user runs them: a worker of their own, against a local provider."""

import json
import re
from pathlib import Path

from control_plane import SUCCESS, ControlPlane
from workers import DISTRO, LAUNCH, ROOT, Home, Worker

from aden import Budget
from aden.core.money import format_usd
from aden.core.window import Window
from aden.testing import OpenAIServer

EXAMPLES = ROOT / "examples"


def test_an_agent_that_never_heard_of_aden_has_the_budgets_of_a_file(tmp_path: Path) -> None:
    """Two calls, each shown on the console, on the account of its session and of the day."""
    example = EXAMPLES / "livekit_zero_code"
    assert "aden" not in (example / "agent.py").read_text().replace("heard of Aden", "")
    budgets = (example / "budgets.toml").read_text()
    with OpenAIServer() as provider, ControlPlane() as plane:
        home = Home(tmp_path, provider, budgets)
        variables = {
            **home.environment,
            **plane.environment,
            "AGENT_TEXT_ONLY": "1",
            "OTEL_TRACES_EXPORTER": "aden_console",
            **DISTRO,
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "openai",
        }
        with Worker(example / "agent.py", tmp_path, variables, command=LAUNCH) as worker:
            plane.wait_for_worker()
            for job in ("AJ_one", "AJ_two"):
                plane.dispatch(job)
            for job in ("AJ_one", "AJ_two"):
                plane.wait_for(job, SUCCESS)
            assert worker.terminate() == 0
        records = home.journal()
        assert {record.attribution.session_id for record in records} == {"AJ_one", "AJ_two"}
        assert sum(record.cost for record in records) == provider.bill.total_nano_usd > 0
        budget = Budget("calls", 10, window="day", timezone="Europe/Berlin")
        assert home.balance(budget.id, budget.span).spent == provider.bill.total_nano_usd
        shown = (
            r"^\[aden\] .*(AJ_one|AJ_two)/\d+ +gpt-4o-mini .* % of (?:each call|calls) +proceed$"
        )
        assert set(re.findall(shown, worker.output, re.MULTILINE)) == {"AJ_one", "AJ_two"}


def test_each_customer_has_a_budget_that_the_others_cannot_spend(tmp_path: Path) -> None:
    """What a job's metadata says decides; the customer without money hears nothing of a model."""
    with OpenAIServer() as provider, ControlPlane() as plane:
        home = Home(tmp_path, provider)
        variables = {
            **home.environment,
            **plane.environment,
            "AGENT_TEXT_ONLY": "1",
            "CUSTOMER_LIMIT_USD": "0.00065",
        }
        with Worker(EXAMPLES / "livekit_multi_tenant.py", tmp_path, variables) as worker:
            plane.wait_for_worker()
            for number, customer in enumerate(("acme", "acme", "globex")):
                job = f"AJ_{number}"
                plane.dispatch(job, json.dumps({"customer_id": customer}))
                plane.wait_for(job, SUCCESS)
            assert worker.terminate() == 0
        records = home.journal()
        told = [(each.attribution.customer_id, each.decision.action) for each in records]
        assert told == [("acme", "degrade"), ("acme", "block"), ("globex", "degrade")]
        assert len(provider.bill.items) == 2
        assert len(re.findall(r"^\[aden\] .*cancel", worker.output, re.MULTILINE)) == 1


def test_a_realtime_agent_books_its_replies_on_the_budgets_of_call_and_day(tmp_path: Path) -> None:
    """The second caller's budget bears no reply: nothing is asked for, and the job ends well."""
    with OpenAIServer() as provider:
        home = Home(tmp_path, provider)
        for limit_usd in ("1", "0"):
            variables = {
                **home.environment,
                "OPENAI_BASE_URL": provider.websocket_base_url,
                "AGENT_TEXT_ONLY": "1",
                "CALL_LIMIT_USD": limit_usd,
            }
            with (
                ControlPlane() as plane,
                Worker(
                    EXAMPLES / "livekit_realtime.py", tmp_path, variables | plane.environment
                ) as worker,
            ):
                plane.wait_for_worker()
                plane.dispatch(f"AJ_{limit_usd}")
                plane.wait_for(f"AJ_{limit_usd}", SUCCESS)
                assert worker.terminate() == 0
            assert len(provider.bill.items) == 1
        told = [(each.model, each.decision.action, each.cost) for each in home.journal()]
        total = provider.bill.total_nano_usd
        assert told == [("gpt-realtime", "allow", total), ("gpt-realtime", "block", 0)]
        assert home.balance("day", Window("day")).spent == total > 0


def test_a_call_has_its_cents_the_caller_hears_the_end_and_the_log_the_bill(tmp_path: Path) -> None:
    """Each call its own; the bill is the provider's and what `aden spend` shows."""
    with OpenAIServer() as provider, ControlPlane() as plane:
        home = Home(tmp_path, provider, budgets='[[budget]]\nid = "all"\nlimit_usd = 10\n')
        variables = {
            **home.environment,
            **plane.environment,
            "AGENT_TEXT_ONLY": "1",
            "CALL_LIMIT_USD": "0.0008",
        }
        with Worker(EXAMPLES / "livekit_session_budget.py", tmp_path, variables) as worker:
            plane.wait_for_worker()
            for job in ("AJ_one", "AJ_two"):
                plane.dispatch(job)
            for job in ("AJ_one", "AJ_two"):
                plane.wait_for(job, SUCCESS)
            assert worker.terminate() == 0
        records = home.journal()
        for job in ("AJ_one", "AJ_two"):
            mine = [each for each in records if each.attribution.session_id == job]
            cost, calls = sum(each.cost for each in mine), sum(bool(each.attempts) for each in mine)
            (line,) = re.findall(f"aden: session {job}: (.*)", worker.output)
            assert f"{format_usd(cost)} for {calls} calls in" in line
            assert "1 refused" in line
            assert home.balance(f"session|session={job}", Window("session")).spent == cost > 0
        assert sum(each.cost for each in records) == provider.bill.total_nano_usd
        assert worker.output.count("assistant: Your free minutes are used up. Thank you") == 2
        assert worker.output.count("no more: budget 'session' is exhausted") == 2
        assert "Traceback" not in worker.output
        assert "left" in worker.output
