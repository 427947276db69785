"""The command line: ``aden demo``."""

from aden.cli.main import main

__all__ = ["main"]
