"""The Pythons on which processes end in different ways."""

import sys
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")
OWN = f"3.{sys.version_info.minor}"
_ROOT = Path(__file__).resolve().parents[1]


def interpreter(version: str) -> str | None:
    """The Python of that version with LiveKit installed: this one, or of a venv that make builds.

    None where ``make`` found no such interpreter.
    """
    if version == OWN:
        return sys.executable
    python = _ROOT / f".venv-{version}" / "bin" / "python"
    return str(python) if python.exists() else None
