"""The command line, a module or a folder for each command; `lines`, `cells` … are shared."""

from aden.cli.main import main

__all__ = ["main"]
