"""Asks a model once in each place that is named: main, fork, forkserver, spawn, thread."""

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


def main() -> None:
    """Go through the places; a fork server has imported already what LiveKit's has."""
    multiprocessing.set_forkserver_preload(["concurrent.futures.thread", "openai"])
    for place in sys.argv[1:]:
        if place == "main":
            ask(place)
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
