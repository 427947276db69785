"""The Pythons on which LiveKit's job processes end in different ways."""

import sys

from workers import ROOT

VERSIONS = ("3.11", "3.12", "3.13")
OWN = f"3.{sys.version_info.minor}"


def interpreter(version: str) -> str | None:
    """The Python of that version with LiveKit installed: this one, or of a venv that make builds.

    None where ``make`` found no such interpreter.
    """
    if version == OWN:
        return sys.executable
    python = ROOT / f".venv-{version}" / "bin" / "python"
    return str(python) if python.exists() else None
