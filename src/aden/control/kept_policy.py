"""The last good policy document on disk, for the time before a server's first answer."""

import contextlib
import json
import logging
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from aden.control.policy_document import MAX_BYTES
from aden.control.server import Server
from aden.ledger.open import state_directory

logger = logging.getLogger("aden.control")

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A document as it came, and when."""

    body: str
    at: float
    """Unix seconds at which the server sent it, by its own clock."""


class PolicyDrawer:
    """Where one server's document lies: a file that only this user may read."""

    def __init__(self, server: Server) -> None:
        self._name = f"policy-{server.digest}.json"

    @property
    def path(self) -> Path | None:
        """The file; None where this user has no directory for such things."""
        try:
            return state_directory() / "aden" / self._name
        except RuntimeError:
            return None

    def read(self) -> KeptPolicy | None:
        """What lies there; None where there is nothing that can be used."""
        path = self.path
        if path is None:
            return None
        try:
            if path.stat().st_size > 2 * MAX_BYTES:
                raise ValueError("it is too large")
            kept = json.loads(path.read_text("utf-8"))
            if kept["format"] != _FORMAT:
                return None
            body, at = kept["body"], kept["at"]
            if not isinstance(body, str) or not isinstance(at, int | float):
                raise ValueError("it has other fields")
            return KeptPolicy(body, min(float(at), time.time()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
            logger.warning("aden: the policy kept in %s cannot be read: %r", path, error)
            return None

    def write(self, kept: KeptPolicy) -> None:
        """Replace what lies there, at once and whole.

        Raises:
            OSError: It cannot be written.
        """
        path = self.path
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # `mkstemp` makes a file that only its owner may read and write.
        handle, name = tempfile.mkstemp(prefix=self._name, dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"format": _FORMAT, "at": kept.at, "body": kept.body}, file)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
