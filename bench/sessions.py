"""Many calls at once: LiveKit jobs in threads of one process, and in processes of their own.

Each job asks for answers of a length of its own and says whose they are, so a call on another's
account shows ("mixed up"); "difference" is between journal and bill, in nano-dollars. "ours" is how
many milliseconds of a core one step of Aden's takes in a loop, "stall" how many milliseconds late a
task is that sleeps 10: without Aden it is LiveKit, Python and this machine. Memory is what the
process holds after 20 s and at the end; a session lasts ten turns, since its history grows. The
provider is a process beside. Run: make bench
"""

import argparse
import asyncio
import contextlib
import functools
import gc
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    APIError,
    JobContext,
    JobExecutorType,
    JobProcess,
    WorkerOptions,
)
from livekit.plugins import openai

from far_provider import far_provider

SESSION_TURNS = 10
PROVIDER = {"ttft_ms": 20, "token_interval_ms": 1}


def prewarm(_process: JobProcess) -> None:
    """Aden, where it is wanted."""
    if os.environ.get("BENCH_WITH"):
        import aden.livekit

        _time_ours()
        aden.livekit.prewarm()


_ours: list[float] = []


@functools.cache
def _time_ours() -> None:
    """Note how long each of our steps keeps a loop: what `Meter` and the ledger do at once."""
    from aden.ledger.sqlite import SqliteLedger
    from aden.metering.meter import Meter

    for cls in (Meter, SqliteLedger):
        for name, step in list(vars(cls).items()):
            sync = inspect.isfunction(step) and not inspect.iscoroutinefunction(step)
            if sync and not name.startswith("_"):
                setattr(cls, name, _timed(step))


def _timed(step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        try:
            return step(*args, **kwargs)
        finally:
            _ours.append((time.thread_time() - began) * 1000)

    return timed


async def entrypoint(ctx: JobContext) -> None:
    """Ask as often as the environment says; write down how late this loop was."""
    number = int(ctx.job.room.name.rpartition("-")[2])
    late: list[float] = []
    beat = asyncio.create_task(_beat(late))
    try:
        for _ in range(int(os.environ["BENCH_TURNS"]) // SESSION_TURNS):
            await _talk(number)
    finally:
        beat.cancel()
        place = Path(os.environ["BENCH_PLACE"])
        (place / f"ours-{number}").write_text(json.dumps(_ours))
        _ours.clear()
        (place / f"late-{number}").write_text(json.dumps(late))
        ctx.shutdown()


async def _talk(number: int) -> None:
    llm = openai.LLM(model="gpt-4o-mini")
    session: AgentSession[None] = AgentSession(llm=llm)
    await session.start(Agent(instructions="Answer in plain sentences."))
    with _account(number):
        for _ in range(SESSION_TURNS):
            with contextlib.suppress(APIError):  # refused, where the ledger cannot keep up
                await session.run(user_input=f"Answer in {20 + number} tokens.")
    await session.aclose()
    await llm.aclose()  # its client; a session leaves it open


def _account(number: int) -> contextlib.AbstractContextManager[Any]:
    if not os.environ.get("BENCH_WITH"):
        return contextlib.nullcontext()
    import aden

    return aden.attribution(customer_id=str(number))


async def _beat(late: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        late.append((time.perf_counter() - began - 0.01) * 1000)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--turns", type=int, default=10_000, help="of all jobs in threads")
    arguments = parser.parse_args()
    print(f"{'':<22}{'turns':>7}{'unanswered':>18}{'mixed up':>10}{'difference':>12}", end="")
    print(f"{'ours p99':>11}{'most':>8}", end="")
    print(f"{'stall p99':>12}{'most':>8}{'memory, MB':>14}")
    threads, processes = arguments.threads, arguments.processes
    turns = _tens(arguments.turns / threads)
    for name, kind, jobs, each, with_ in (
        (f"{threads} threads, without", "thread", threads, _tens(turns / 5), ""),
        (f"{threads} threads", "thread", threads, turns, "1"),
        (f"{processes} processes, without", "forkserver", processes, SESSION_TURNS, ""),
        (f"{processes} processes", "forkserver", processes, SESSION_TURNS, "1"),
    ):
        _row(name, kind, jobs, each, with_)


def _tens(turns: float) -> int:
    return max(1, round(turns / SESSION_TURNS)) * SESSION_TURNS


def _row(name: str, kind: str, jobs: int, turns: int, with_: str) -> None:
    with tempfile.TemporaryDirectory() as directory, far_provider(**PROVIDER) as provider:
        place = Path(directory)
        (place / "budgets.toml").write_text('[[budget]]\nid = "calls"\nlimit_usd = "100"\n')
        ledger = f"sqlite://{place / 'ledger.db'}"
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": provider.base_url,
            "OPENAI_API_KEY": "sk-bench",
            "ADEN_BUDGETS": str(place / "budgets.toml"),
            "ADEN_LEDGER": ledger,
            "BENCH_PLACE": directory,
            "BENCH_TURNS": str(turns),
            "BENCH_WITH": with_,
        }
        command = [sys.executable, __file__, "--worker"]
        done = subprocess.run(  # noqa: S603
            [*command, kind, str(jobs)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr)
        memory = done.stdout.split()[-2:]
        late, ours = _read(place, "late-*"), _read(place, "ours-*")
        billed = sum(item.nano_usd or 0 for item in provider.end())
        unanswered, mixed, difference = _compare(ledger, billed) if with_ else ("", "", "")
        print(
            f"{name:<22}{jobs * turns:>7}{unanswered:>18}{mixed:>10}{difference:>12}"
            f"{_p99(ours):>11}{_most(ours):>8}{_p99(late):>12}{_most(late):>8}"
            f"{' → '.join(memory) if kind == 'thread' else '':>14}",
            flush=True,
        )


def _read(place: Path, pattern: str) -> list[float]:
    return sorted(each for path in place.glob(pattern) for each in json.loads(path.read_text()))


def _p99(ordered: list[float]) -> str:
    return f"{ordered[int(len(ordered) * 0.99)]:.1f}" if ordered else ""


def _most(ordered: list[float]) -> str:
    return f"{ordered[-1]:.1f}" if ordered else ""


def _compare(ledger: str, billed: int) -> tuple[str, str, str]:
    """Calls without an answer and why; answers on a wrong account; nano-dollars off the bill."""
    from aden.ledger import open_ledger

    book = open_ledger(ledger)
    journal = list(book.journal())
    book.close()
    answered = [record for record in journal if record.usage.output_tokens is not None]
    wrong = sum(
        str((record.usage.output_tokens or 0) - 20) != record.attribution.customer_id
        for record in answered
    )
    difference = sum(record.cost for record in journal) - billed
    ended = Counter(
        record.decision.reason or record.error_type or "cancelled"
        for record in journal
        if record.usage.output_tokens is None
    )
    without = ", ".join(f"{count} {why}" for why, count in ended.items()) or "0"
    return without, str(wrong), str(difference)


async def _work(kind: Any, jobs: int) -> None:
    """A LiveKit worker without a server; prints its memory after a tenth of the turns, and last."""
    threads = kind == "thread"
    server = AgentServer.from_server_options(
        WorkerOptions(
            entrypoint_fnc=entrypoint,
            prewarm_fnc=prewarm,
            num_idle_processes=0 if threads else 2,
            initialize_process_timeout=120,
            job_executor_type=JobExecutorType.THREAD if threads else JobExecutorType.PROCESS,
            multiprocessing_context="forkserver" if threads else kind,
            host="127.0.0.1",
            port=0,
        )
    )
    started = asyncio.Event()
    server.on("worker_started", started.set)
    running = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await started.wait()
    gc.collect()
    gc.freeze()  # as LiveKit does in its fork server: a full collection takes a quarter of a second
    await asyncio.gather(
        *(server.simulate_job(f"room-{number}", fake_job=True) for number in range(jobs))
    )
    held, begun = 0, time.monotonic()
    while _ended() < jobs:
        await asyncio.sleep(0.2)
        if not held and time.monotonic() - begun > WARM_S:
            held = _memory_mb()
    print(held or _memory_mb(), _memory_mb())
    await server.aclose()
    await running


def _ended() -> int:
    return len(list(Path(os.environ["BENCH_PLACE"]).glob("late-*")))


WARM_S = 20
"""After this time everything has been used once."""


def _memory_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        asyncio.run(_work(sys.argv[2], int(sys.argv[3])))
    else:
        main()
