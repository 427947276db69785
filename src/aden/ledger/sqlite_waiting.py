"""Who waits for a busy SQLite ledger: how long, and in which order."""

import contextlib
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

from aden.errors import LedgerError, LedgerSaturated, LedgerUnavailable
from aden.ledger.protocol import Ask, Grant, Refusal
from aden.ledger.sqlite_file import is_busy, is_busy_here
from aden.ledger.sqlite_reserve import reserve_together
from aden.ledger.sqlite_store import Store

ASK_AGAIN_S = 0.001
TURN_S = 0.1
"""How long the thread that waits stands in line behind this process's other threads: who only looks
in now and then has no turn where fifty share an interpreter."""
TOGETHER = 32
"""So many have their turn in one transaction: a millisecond or two, then others may have theirs."""
BUSY_DEADLINE_S = 0.5
"""How long a busy file is asked again, while nobody has a turn."""
QUEUE_DEADLINE_S = 2.0
"""How long, while others have theirs: a caller on the line would rather wait than be refused."""


class Patience:
    """With a busy file, up to a deadline."""

    def __init__(self, store: Store, url: str) -> None:
        self._store = store
        self._url = url
        self._began = time.monotonic()
        self._progress: tuple[int, ...] | None = None

    def give_up(self, error: Exception) -> NoReturn:
        """Nobody can wait for it.

        Raises:
            LedgerUnavailable: Always.
        """
        raise LedgerUnavailable(f"{self._url}: {error}") from error

    def bear(self, error: Exception) -> None:
        """Return where another try is worth it.

        Raises:
            LedgerSaturated: Time is up, and meanwhile others had their turn: it is a queue.
            LedgerUnavailable: It is not busy but broken, or nobody has a turn any more.
        """
        if not is_busy(error):
            self.give_up(error)
        if self._progress is None:
            self._progress = self._store.progress()
        waited_s = time.monotonic() - self._began
        if waited_s <= BUSY_DEADLINE_S:
            return
        if is_busy_here(error) or self._store.progress() != self._progress:
            if waited_s <= QUEUE_DEADLINE_S:
                return
            why = f"{self._url}: no turn within {QUEUE_DEADLINE_S:g} s, others are at work"
            raise LedgerSaturated(why) from error
        self.give_up(error)


@dataclass(slots=True, eq=False)
class _Waiter:
    ask: Ask
    patience: Patience
    answer: "Future[Grant | Refusal]" = field(default_factory=Future)
    alone: bool = False
    """True after it, or another in the same transaction, could not be carried out."""


class Queue:
    """Requests that wait for a turn while event loops go on: all have the next one, in order.

    One thread, as the file is one. It does not survive a fork, nor does who waits in it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiters: deque[_Waiter] = deque()
        self._thread = ThreadPoolExecutor(1, "aden-ledger-wait")

    def put(self, ask: Ask, patience: Patience) -> "Future[Grant | Refusal]":
        """Reserve when its turn comes; the answer, or the `LedgerError`, is to come."""
        waiter = _Waiter(ask, patience)
        self._waiters.append(waiter)
        try:
            self._thread.submit(self._take_turns)
        except RuntimeError as error:  # no thread can be had; or the interpreter ends
            with contextlib.suppress(ValueError, IndexError):  # it has its turn, with others
                self._waiters.remove(waiter)
                patience.give_up(error)
        return waiter.answer

    def close(self) -> None:
        """Let the thread go when nobody waits any more."""
        self._thread.shutdown(wait=False)

    def _take_turns(self) -> None:
        while together := self._next():
            try:
                work = partial(reserve_together, asks=[each.ask for each in together])
                answers = self._store.transact(work, turn_s=TURN_S)
            except Exception as error:
                self._failed(together, error)
                continue
            for waiter, answer in zip(together, answers, strict=True):
                waiter.answer.set_result(answer)

    def _next(self) -> list[_Waiter]:
        together: list[_Waiter] = []
        while self._waiters and len(together) < TOGETHER:
            if together and self._waiters[0].alone:
                break
            together.append(self._waiters.popleft())
            if together[0].alone:
                break
        return together

    def _failed(self, together: list[_Waiter], error: Exception) -> None:
        """Who may try again is first in the queue again; one that cannot be done harms no other."""
        if len(together) > 1 and not is_busy(error):
            for waiter in together:
                waiter.alone = True
            self._waiters.extendleft(reversed(together))
            return
        for waiter in reversed(together):
            try:
                waiter.patience.bear(error)
            except LedgerError as given_up:
                waiter.answer.set_exception(given_up)
            else:
                self._waiters.appendleft(waiter)
        time.sleep(ASK_AGAIN_S)
