"""A policy file that is read again when it changes."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from aden.budgets.budget import Mode
from aden.budgets.doubts import warn_of_models
from aden.budgets.policy import Policy
from aden.budgets.policy_file import load_policy
from aden.core.forks import see_through_forks
from aden.errors import ConfigurationError
from aden.pricing import PriceBook

logger = logging.getLogger("aden.budgets")

LOOK_EVERY_S = 1.0
SETTLED_S = 1.0
"""A file that was written this long ago is not being written any more."""
WAIT_S = 0.005
"""How long a request waits for a changed file; a larger file takes effect a little later."""

_Stamp = tuple[int, int, int, int]


class PolicyFile:
    """The policy in a file; a broken edit keeps the last good one and says so.

    The file is found anew at each look, so a replaced file and a swapped symbolic link (as
    Kubernetes mounts a ConfigMap) are changes like any other. What was written within the last
    second may be half written: it counts once it has stayed the same for one look.
    """

    def __init__(self, path: Path, mode: Mode, prices: PriceBook | None = None) -> None:
        self.path = path
        self._prices = prices or PriceBook()
        self._mode = mode
        self._lock = threading.Lock()
        self._stamp = self._answered = _stamp(path)
        self._reading: threading.Thread | None = None
        self._unsettled: _Stamp | None = None
        self._policy = load_policy(path, mode)
        warn_of_models(self._policy, self._prices)
        self._looked_at = time.monotonic()
        self.accept: Callable[[Policy], object] = lambda policy: None
        """Told of the policy that is read, before it comes into force; may refuse it by raising
        `ConfigurationError`."""
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """What a thread of the parent was reading, nobody reads on: the next look does."""
        self._lock = threading.Lock()
        self._stamp = self._answered

    def current(self) -> Policy:
        """The policy now; the file's time stamp is looked at once a second at most."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY_S and self._lock.acquire(blocking=False):
            try:
                self._looked_at = now
                self._look()
            finally:
                self._lock.release()
        return self._policy

    def _look(self) -> None:
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return
        if stamp is not None and not self._is_settled(stamp):
            self._unsettled = stamp
            return
        before, self._stamp = self._stamp, stamp
        if stamp is None:
            self._answered = None
            logger.error("aden: %s is gone; the last good budgets stay in force", self.path)
            return
        # Reading ten thousand budgets takes seconds, and this may be an event loop's thread.
        reading = threading.Thread(
            target=self._answer, args=(stamp,), name="aden-policy", daemon=True
        )
        try:
            reading.start()
        except RuntimeError:  # none can be had: the next look tries again
            self._stamp = before
            return
        self._reading = reading
        reading.join(WAIT_S)

    def _is_settled(self, stamp: _Stamp) -> bool:
        written_at = stamp[2] / 1e9
        return stamp == self._unsettled or time.time() - written_at >= SETTLED_S

    def _answer(self, stamp: _Stamp) -> None:
        self._read(stamp)
        self._answered = stamp

    def _read(self, stamp: _Stamp) -> None:
        try:
            policy = load_policy(self.path, self._mode)
            self.accept(policy)
        except ConfigurationError as error:
            logger.error(
                "aden: %s changed but is not valid; the last good one stays: %s", self.path, error
            )
            return
        except Exception:  # a mistake of ours; unseen, it would end the thread and tell nobody
            logger.exception("aden: %s could not be read; the last good one stays", self.path)
            return
        if stamp == self._stamp:  # nothing newer was read meanwhile
            self._policy = policy
            said = "aden: budgets read again from %s (version %s, %s)"
            logger.info(said, self.path, policy.version, policy.mode)
            warn_of_models(policy, self._prices)


def _stamp(path: Path) -> _Stamp | None:
    """What tells one content of a file from another, without reading it; None: no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
