"""Start a LiveKit worker, let its jobs talk, and show what it came to."""

import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

from aden.cli.demo.report import print_report
from aden.core.money import parse_usd
from aden.errors import ConfigurationError
from aden.ledger import open_ledger
from aden.testing import Bill, OpenAIServer

LIMIT_USD = "0.08"
START_TIMEOUT_S = 120.0
TALK_TIMEOUT_S = 240.0
INTRODUCTION = """\
Aden demo: a LiveKit worker (process {pid}) starts {jobs} job processes. Each runs the agent of the
guide (docs/livekit-guide.md), and all share one budget of ${limit} in one ledger.
The callers talk until the guide's budget_check has said degrade (80 %), throttle (95 %) and cancel.
{provider}

One line a call: time, job/process, model (asked → sent), tokens, cost, time to first token and in
all, how much of the budget is spent, what was decided and by whom. ~ is an estimate: the caller
interrupted, and the provider had not reported its count.
"""
LOCAL = "The provider is a local server with an OpenAI API and a bill: no key, no network, no cost."
LIVE = "The provider is the real OpenAI API, with your OPENAI_API_KEY: this costs up to ${limit}."
BUDGET = """\
# Written by `aden demo`: one budget for all job processes.
[[budget]]
id = "demo"
name = "demo budget"
limit_usd = "{limit}"

[[budget.ladder]]
action = "alert"
at = 50
level = "info"

[[budget.ladder]]
action = "degrade"
at = 80
to = "gpt-4o-mini"
"""


def run_demo(jobs: int, limit_usd: str | None, live: bool) -> int:
    """Run the demo; returns an exit code.

    Raises:
        ConfigurationError: An argument is wrong, or there is no key for the real API.
    """
    limit = limit_usd or LIMIT_USD
    parse_usd(limit, "--limit")
    if live and not os.environ.get("OPENAI_API_KEY"):
        raise ConfigurationError("OPENAI_API_KEY", "", "the key of the real API, for --live")
    if not 1 <= jobs <= 16:
        raise ConfigurationError("--jobs", jobs, "1 to 16")
    try:
        import livekit.plugins.openai  # noqa: F401
    except ImportError as error:
        print(f"aden demo needs LiveKit: pip install 'aden-py[livekit]' ({error})", file=sys.stderr)
        return 2
    provider = (LIVE if live else LOCAL).format(limit=limit)
    print(INTRODUCTION.format(pid=os.getpid(), jobs=jobs, limit=limit, provider=provider))
    with tempfile.TemporaryDirectory(prefix="aden-demo-") as directory:
        home = Path(directory)
        (home / "budgets.toml").write_text(BUDGET.format(limit=limit))
        os.environ["ADEN_BUDGETS"] = str(home / "budgets.toml")
        os.environ["ADEN_LEDGER"] = f"sqlite://{home / 'ledger.db'}"
        try:
            return _run_live(jobs) if live else _run_local(jobs)
        except KeyboardInterrupt:
            return 130


def _run_live(jobs: int) -> int:
    ended = asyncio.run(_work(jobs))
    return 0 if _report(None) and ended else 1


def _run_local(jobs: int) -> int:
    # Some 400 tokens take two seconds: a busy machine's caller still interrupts in mid-answer.
    with OpenAIServer(ttft_ms=40, token_interval_ms=5) as server:
        os.environ["OPENAI_BASE_URL"] = server.base_url
        os.environ["OPENAI_API_KEY"] = "sk-demo"
        ended = asyncio.run(_work(jobs))
        server.wait_idle()
        return 0 if _report(server.bill) and ended else 1


def _report(bill: Bill | None) -> bool:
    ledger = open_ledger(os.environ["ADEN_LEDGER"])
    answered = print_report(ledger, Path(os.environ["ADEN_BUDGETS"]), bill)
    ledger.close()
    if not answered:
        print("aden demo: no call got an answer", file=sys.stderr)
    return answered


async def _work(jobs: int) -> bool:
    """A real worker and real job processes; only the LiveKit server is not needed.

    Returns:
        Whether all jobs came to their end.
    """
    from livekit.agents import AgentServer, WorkerOptions

    from aden.cli.demo.agent import entrypoint, initialize_aden_in_worker

    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    server = AgentServer.from_server_options(
        WorkerOptions(
            entrypoint_fnc=entrypoint,
            prewarm_fnc=initialize_aden_in_worker,
            agent_name="hotel-agent",
            num_idle_processes=jobs,
            initialize_process_timeout=START_TIMEOUT_S,
            # LiveKit logs each refused turn with its traceback; the demo shows it in a line.
            log_level="CRITICAL",
            host="127.0.0.1",
            port=0,
        )
    )
    started = asyncio.Event()
    server.on("worker_started", started.set)
    running = asyncio.create_task(server.run(devmode=True, unregistered=True))
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await started.wait()
            for number in range(jobs):
                await server.simulate_job(f"room-{number}", fake_job=True)
        async with asyncio.timeout(TALK_TIMEOUT_S):
            while server.active_jobs:
                await asyncio.sleep(0.1)
    except TimeoutError:
        print("aden demo: the jobs did not come to their end in time", file=sys.stderr)
        return False
    finally:
        await server.aclose()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return True
