"""``python -m aden``: the same as ``aden``."""

import sys

from aden.cli import main

if __name__ == "__main__":  # job processes that are spawned import it under another name
    sys.exit(main())
