"""Asks a model once in each place that is named: main, loop, thread, fork, forkserver, spawn.

``loop`` is a running event loop; ``fork-on-loop`` is forked from one, and runs one of its own.
"""

import asyncio
import multiprocessing
import multiprocessing.forkserver
import os
import sys
import threading


def ask(place: str) -> None:
    """One request; prints how it ended."""
    import openai

    try:
        answer = openai.OpenAI(max_retries=0).chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hello"}], max_tokens=5
        )
    except openai.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        print(place, "refused", body.get("code"), flush=True)
    else:
        print(place, "answered", answer.usage is not None, flush=True)


async def ask_on_loop(place: str) -> None:
    """The same on an event loop."""
    import openai

    try:
        async with openai.AsyncOpenAI(max_retries=0) as client:
            answer = await client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "Hello"}], max_tokens=5
            )
    except openai.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        print(place, "refused", body.get("code"), flush=True)
    else:
        print(place, "answered", answer.usage is not None, flush=True)


async def fork_on_loop(place: str) -> None:
    """Fork while the loop runs."""
    process = multiprocessing.get_context("fork").Process(target=in_child, args=(place,))
    process.start()
    await asyncio.to_thread(process.join)


def in_child(place: str) -> None:
    """The parent's loop is not the child's."""
    asyncio._set_running_loop(None)
    asyncio.run(ask_on_loop(place))


def main() -> None:
    """Go through the places; a fork server has imported already what LiveKit's has."""
    multiprocessing.set_forkserver_preload(["concurrent.futures.thread", "openai"])
    for place in sys.argv[1:]:
        if place == "main":
            ask(place)
        elif place == "loop":
            asyncio.run(ask_on_loop(place))
        elif place == "fork-on-loop":
            asyncio.run(fork_on_loop(place))
        elif place == "thread":
            thread = threading.Thread(target=ask, args=(place,))
            thread.start()
            thread.join()
        else:
            process = multiprocessing.get_context(place).Process(target=ask, args=(place,))  # type: ignore[attr-defined]
            process.start()
            process.join()
        if place == "forkserver":
            server = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
            print("helper threads", len(os.listdir(f"/proc/{server}/task")), flush=True)


if __name__ == "__main__":
    main()
