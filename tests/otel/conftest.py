"""Programs that end while their telemetry goes wrong."""

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from aden.testing import OpenAIServer


@pytest.fixture
def run_program(server: OpenAIServer) -> Callable[..., tuple[float, str]]:
    """Run a program with two URLs; gives the seconds to its end, and what it said as errors."""

    def run(program: str, url: str) -> tuple[float, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, server.base_url, url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() not in ("", "False\n"), process.communicate(timeout=60)
        ending = time.monotonic()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        return time.monotonic() - ending, said

    return run
