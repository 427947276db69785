"""``python -m aden.testing``: a local provider for an agent that is tried out by hand."""

import argparse
import sys
import threading

from aden.core.money import format_usd
from aden.testing.openai_server import OpenAIServer


def main() -> None:
    """Serve on a free port of 127.0.0.1 until Ctrl-C, then tell the bill."""
    argparse.ArgumentParser(prog="python -m aden.testing", description=main.__doc__).parse_args()
    with OpenAIServer() as server:
        _say(
            "A local server with an OpenAI API: no key, no network, no cost. Ctrl-C ends it.\n"
            "In another terminal:\n\n"
            f"export OPENAI_BASE_URL={server.base_url} OPENAI_API_KEY=sk-local\n"
        )
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            bill = server.bill
            cost = format_usd(bill.total_nano_usd)
            _say(f"\n{len(bill.items)} request(s) were billed: {cost}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
