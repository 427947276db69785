"""Job processes that live for a call or two, made as LiveKit makes them: by a fork server.

``short_jobs.py URL-OF-THE-PROVIDER JOBS AT-ONCE``; where telemetry goes, the environment says.
"""

import multiprocessing
import sys
import time
from multiprocessing.connection import wait

MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1-mini")


def job(number: int, url: str) -> None:
    """One conversation: one to three turns, a caller and a session of its own."""
    import openai

    import aden

    aden.instrument()
    with (
        openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client,
        aden.attribution(customer_id=f"customer-{number}", session_id=f"session-{number}"),
    ):
        for turn in range(1 + number % 3):
            client.chat.completions.create(
                model=MODELS[number % len(MODELS)],
                messages=[{"role": "user", "content": f"Say {20 + turn} tokens"}],
                user=f"user-{number}",
            )
            if number % 10 == 0:
                time.sleep(0.6)  # some are exported in the middle of their lives


def main(url: str, jobs: int, at_once: int) -> None:
    """Run them, a few at a time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["openai", "openai.resources.chat", "aden.runtime"])
    started, running = [], set()
    for number in range(jobs):
        process = context.Process(target=job, args=(number, url))
        process.start()
        started.append(process)
        running.add(process)
        if len(running) == at_once:
            ended = set(wait([each.sentinel for each in running]))
            running -= {each for each in running if each.sentinel in ended}
    for process in running:
        process.join()
    if any(process.exitcode for process in started):
        sys.exit("a job failed")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
