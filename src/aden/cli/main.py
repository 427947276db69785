"""``aden`` and its commands."""

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="aden", description="Budgets, exact cost and OpenTelemetry for LLM voice agents."
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser(
        "demo", help="run a LiveKit worker whose jobs share one small budget, and show each call"
    )
    demo.add_argument(
        "--live", action="store_true", help="ask the real OpenAI API (needs OPENAI_API_KEY)"
    )
    demo.add_argument("--jobs", type=int, default=3, help="job processes at once (default 3)")
    demo.add_argument("--limit", default=None, help="the budget in US dollars")
    chosen = parser.parse_args(arguments)
    if chosen.version:
        from aden.runtime import aden_version

        print(aden_version())
        return 0
    if chosen.command == "demo":
        from aden.cli.demo.run import run_demo

        return run_demo(jobs=chosen.jobs, limit_usd=chosen.limit, live=chosen.live)
    parser.print_help(sys.stderr)
    return 2
