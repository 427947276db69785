"""The arguments of ``aden demo``."""

import argparse


def add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command's arguments."""
    demo = commands.add_parser(
        "demo", help="run a LiveKit worker whose jobs share one small budget, and show each call"
    )
    demo.add_argument(
        "--live", action="store_true", help="ask the real OpenAI API (needs OPENAI_API_KEY)"
    )
    demo.add_argument("--jobs", type=int, default=3, help="job processes at once (default 3)")
    demo.add_argument("--limit", default=None, help="the budget in US dollars")
    demo.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> int:
    from aden.cli.demo.run import run_demo

    return run_demo(jobs=chosen.jobs, limit_usd=chosen.limit, live=chosen.live)
