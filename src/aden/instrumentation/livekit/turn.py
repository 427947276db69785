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
    told: RequestCancelledError | None = None
    """The refusal of which the session's ``error`` event has told."""

    filler: "asyncio.Task[None] | None" = None

    async def scheduled(self) -> None:
        """Wait until LiveKit means to speak this answer; cancelled where it discards it."""
        wait = getattr(self.handle, "_wait_for_scheduled", None)
        if wait is not None:
            with contextlib.suppress(TimeoutError):  # then the refusal is told without it
                await asyncio.wait_for(wait(), SCHEDULED_S)

    def delayed(self, message: str, delay_s: float) -> None:
        """The request waits: let the caller hear something meanwhile, once a turn."""
        if self.filler is None and delay_s >= FILLER_S:
            until = asyncio.get_running_loop().time() + delay_s
            self.filler = asyncio.create_task(self._fill(message, until))

    def over(self) -> None:
        """The answer is there, or will never be."""
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


async def meant(refusal: RequestCancelledError) -> None:
    """Wait until the refused answer is the one that counts; the caller of this tells of it."""
    if (turn := current_turn.get()) is not None:
        await turn.scheduled()
        turn.told = refusal
