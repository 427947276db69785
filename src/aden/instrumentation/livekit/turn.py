"""The turn of an agent: the answer that LiveKit is making, wherever in it a request is met.

LiveKit begins answers before it knows that the caller has ended, and discards them: so a refusal is
told, spoken and handed over only when LiveKit means to speak the answer.
"""

import asyncio
import contextlib
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from aden.errors import RequestCancelledError

SCHEDULED_S = 60.0
"""How long LiveKit may keep an answer that it began early before it speaks or discards it."""
FILLER_S = 0.7
"""A caller who waits less hears nothing of it."""


@dataclass(slots=True)
class Turn:
    """One answer in the making."""

    data: Any
    """LiveKit's channels for what is generated."""
    handle: Any
    """The speech that it becomes; None where this LiveKit does not tell."""
    activity: Any
    """The agent at work; None where this LiveKit does not tell."""
    filler: "asyncio.Task[None] | None" = None
    is_over: bool = False
    """What was begun in it may go on, and nobody waits for that."""

    async def scheduled(self) -> None:
        """Wait until LiveKit means to speak this answer; cancelled where it discards it."""
        wait = getattr(self.handle, "_wait_for_scheduled", None)
        if wait is not None:
            with contextlib.suppress(TimeoutError):  # then the refusal is told without it
                await asyncio.wait_for(wait(), SCHEDULED_S)

    def delayed(self, message: str, delay_s: float) -> None:
        """The request waits: let the caller hear something meanwhile, once a turn."""
        if self.filler is None and delay_s >= FILLER_S and not self.is_over:
            until = asyncio.get_running_loop().time() + delay_s
            self.filler = asyncio.create_task(self._fill(message, until))

    def over(self) -> None:
        """The answer is there, or will never be."""
        self.is_over = True
        if self.filler is not None:
            self.filler.cancel()

    async def _fill(self, message: str, until: float) -> None:
        await self.scheduled()
        if until - asyncio.get_running_loop().time() >= FILLER_S:
            self.data.text_ch.send_nowait(f"{message} ")
            flush = getattr(sys.modules.get("livekit.agents.types"), "FlushSentinel", None)
            if flush is not None:  # spoken now, not when the answer's first sentence is there
                self.data.text_ch.send_nowait(flush())


current_turn: ContextVar[Turn | None] = ContextVar("aden_livekit_turn", default=None)
"""The turn whose answer is being made here; None outside of an ``llm_node``."""

told_of_refusal: ContextVar[frozenset[str]] = ContextVar(
    "aden_told_of_refusal", default=frozenset()
)
"""The program's functions (by setting) that were told of a refusal, and ask what is asked here.

What they ask is not given to them again, where it is refused as well: they would ask for ever.
"""


_told: "WeakKeyDictionary[RequestCancelledError, Any]" = WeakKeyDictionary()
"""By which LLM's ``error`` event a refusal was told of; a session hears only its agent's."""


async def meant() -> None:
    """Wait until the answer that was refused is the one that counts."""
    if (turn := current_turn.get()) is not None:
        await turn.scheduled()


def told(refusal: RequestCancelledError, llm: Any) -> None:
    """An ``error`` event of *llm* is about to tell of it."""
    _told[refusal] = llm


def is_told(refusal: RequestCancelledError, llm: Any) -> bool:
    """Whether one has."""
    return _told.get(refusal) is llm


class _Ahead:
    """An error for the one answer that is made after it."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error


_ahead: ContextVar[_Ahead | None] = ContextVar("aden_refused_ahead", default=None)


def refuse_ahead(error: Exception) -> None:
    """What an answer needs was refused: the answer that is begun in this context fails by it."""
    _ahead.set(_Ahead(error))


def refused_ahead() -> Exception | None:
    """By what the answer that is made here is to fail; taken once."""
    ahead = _ahead.get()
    if ahead is None:
        return None
    error, ahead.error = ahead.error, None
    return error
