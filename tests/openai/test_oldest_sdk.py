"""The oldest openai SDK that LiveKit's plugins take is gated and metered like the newest."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pythons import OWN, VERSIONS, interpreter

PROGRAM = Path(__file__).with_name("oldest_sdk_program.py")


@pytest.mark.parametrize("version", [each for each in VERSIONS if each != OWN])
def test_every_way_to_ask_is_gated_and_booked_there(version: str) -> None:
    """Its connections have methods of their own, where later ones inherit them."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"make test has found no Python {version}")
    done = subprocess.run(
        [python, PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["version"].startswith("3.28.")
    assert said["calls"] == 12
    assert said["estimated"] == 0
    assert said["booked"] == said["billed"] > 0
    assert said["refused"] == 4
    assert said["billed_after"] == said["billed"]
    assert "aden" not in done.stderr  # nothing to complain about
