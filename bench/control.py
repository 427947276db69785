"""How far two hosts exceed a budget that they share through an Aden server alone.

Two processes with a ledger each ask without end, ten times a second, until their budget says no.
The server is of the old kind: no ETag, no pushes. Takes a minute or two. Run:
python bench/control.py [limit in US dollars]
"""

import logging
import os
import subprocess
import sys
import tempfile
import time

import openai

import aden
from aden.testing import ControlServer, OpenAIServer

HOSTS = 2
PAUSE_S = 0.1


def main() -> None:
    """Print what was spent beyond the limit, and what a host spends within a poll and a post."""
    limit = float(sys.argv[1]) if len(sys.argv) > 1 else 0.05
    policy = {"budgets": [{"id": "shared", "type": "global", "limit": limit}]}
    with (
        ControlServer(policy, is_old=True) as control,
        OpenAIServer(ttft_ms=0, token_interval_ms=0) as provider,
        tempfile.TemporaryDirectory() as directory,
    ):
        begun = time.monotonic()
        hosts = [
            subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, __file__, "host", provider.base_url, control.url],
                env={**os.environ, "XDG_STATE_HOME": f"{directory}/{number}"},
            )
            for number in range(HOSTS)
        ]
        for host in hosts:
            host.wait(600)
        took_s = time.monotonic() - begun
        spent = provider.bill.total_nano_usd / 1e9
    unseen = spent / took_s * (HOSTS - 1) / HOSTS * 35  # a poll of 33 s at most, a post of 2
    print(f"limit ${limit:.4f}, spent ${spent:.4f} by {HOSTS} hosts in {took_s:.0f} s")
    print(f"exceeded by ${max(0.0, spent - limit):.4f} ({100 * (spent / limit - 1):.1f} %)")
    print(f"what the other host spends within one poll and post: ${unseen:.4f}")


def _host(base_url: str, url: str) -> None:
    logging.disable(logging.CRITICAL)
    aden.instrument(server_url=url, api_key="aden-key")
    client = openai.OpenAI(api_key="key", base_url=base_url, max_retries=0)
    while True:
        try:
            client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": "in 100 tokens"}],
                max_tokens=100,
            )
        except aden.RequestCancelledError as error:
            if error.reason == "exhausted":
                return
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    _host(*sys.argv[2:]) if sys.argv[1:2] == ["host"] else main()
