"""Start a LiveKit worker, let its jobs talk, and show what it came to."""

import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

from aden.cli.demo.report import print_report
from aden.errors import ConfigurationError
from aden.ledger import open_ledger
from aden.testing import OpenAIServer

LIMIT_USD = "0.05"
LIVE_LIMIT_USD = "0.05"
JOB_TIMEOUT_S = 120.0
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
    """Run the demo; returns an exit code."""
    try:
        import livekit.plugins.openai  # noqa: F401, PLC0415
    except ImportError:
        print("aden demo needs LiveKit: pip install 'aden-py[livekit]'", file=sys.stderr)
        return 2
    if live and not os.environ.get("OPENAI_API_KEY"):
        print("aden demo --live needs OPENAI_API_KEY", file=sys.stderr)
        return 2
    if not 1 <= jobs <= 16:
        print(f"--jobs={jobs} is not valid: expected 1 to 16", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="aden-demo-") as directory:
        home = Path(directory)
        ledger_url = f"sqlite://{home / 'ledger.db'}"
        budgets = home / "budgets.toml"
        limit = limit_usd or (LIVE_LIMIT_USD if live else LIMIT_USD)
        budgets.write_text(BUDGET.format(limit=limit))
        os.environ.update({"ADEN_BUDGETS": str(budgets), "ADEN_LEDGER": ledger_url})
        try:
            if live:
                asyncio.run(_work(jobs))
                print_report(open_ledger(ledger_url), budgets, None)
            else:
                with OpenAIServer(ttft_ms=40, token_interval_ms=2) as server:
                    os.environ["OPENAI_BASE_URL"] = server.base_url
                    os.environ["OPENAI_API_KEY"] = "sk-demo"
                    asyncio.run(_work(jobs))
                    server.wait_idle()
                    print_report(open_ledger(ledger_url), budgets, server.bill)
        except ConfigurationError as error:
            print(f"aden demo: {error}", file=sys.stderr)
            return 2
    return 0


async def _work(jobs: int) -> None:
    """A real worker and real job processes; only the LiveKit server is not needed."""
    from livekit.agents import AgentServer, WorkerOptions  # noqa: PLC0415

    from aden.cli.demo.agent import entrypoint, initialize_aden_in_worker  # noqa: PLC0415

    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    server = AgentServer.from_server_options(
        WorkerOptions(
            entrypoint_fnc=entrypoint,
            prewarm_fnc=initialize_aden_in_worker,
            agent_name="hotel-agent",
            num_idle_processes=jobs,
            initialize_process_timeout=60.0,
            # LiveKit logs each refused turn with its traceback; the demo shows it in a line.
            log_level="CRITICAL",
            host="127.0.0.1",
            port=0,
        )
    )
    started = asyncio.Event()
    server.on("worker_started", started.set)
    print(f"[aden] starting a LiveKit worker (process {os.getpid()}) with {jobs} job processes …")
    running = asyncio.create_task(server.run(devmode=True, unregistered=True))
    try:
        await asyncio.wait_for(started.wait(), JOB_TIMEOUT_S)
        for number in range(jobs):
            await server.simulate_job(f"room-{number}", fake_job=True)
        async with asyncio.timeout(JOB_TIMEOUT_S):
            while server.active_jobs:
                await asyncio.sleep(0.1)
    finally:
        await server.aclose()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
