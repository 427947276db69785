"""The guide's agent in LiveKit's own job processes, however these are started."""

import subprocess
import sys
from pathlib import Path

import pytest
from workers import PROGRAMS, ROOT, Home, clean_environment

from aden.testing import OpenAIServer


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_the_guide_s_agent_is_metered_in_simulated_jobs(
    start_method: str, tmp_path: Path, provider: OpenAIServer
) -> None:
    """Two processes, one ledger: each call is decided, printed and settled to the nano-dollar."""
    home = Home(tmp_path, provider)
    environment = clean_environment(**home.environment, AGENT_TEXT_ONLY="1")
    environment["PYTHONPATH"] += f":{ROOT / 'examples'}"
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "simulate.py"), start_method],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    journal = home.journal()
    assert len(journal) == len({record.pid for record in journal}) == 2
    assert len({record.attribution.session_id for record in journal}) == 2
    assert sum(record.cost for record in journal) == provider.bill.total_nano_usd > 0
    assert done.stdout.count("[aden]") == 2
