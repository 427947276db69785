"""Replies that wait at the gate: the agent has a future, the provider has nothing yet."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from aden.errors import RequestCancelledError
from aden.metering.call import Call
from aden.metering.meter import Meter
from aden.metering.shells import aadmit

Send = Callable[[], "asyncio.Future[Any]"]


@dataclass(slots=True)
class Passing:
    """A call that is let through and being sent: by an adapter, to the session below it."""

    call: Call
    withdraw: Callable[[], None]
    """The session that asked for it does not send it itself."""
    taken: bool = False


_passing: ContextVar[Passing | None] = ContextVar("aden_reply_passing", default=None)


@contextlib.contextmanager
def passing(call: Call, withdraw: Callable[[], None]) -> Iterator[None]:
    """Around the sending of *call*."""
    token = _passing.set(Passing(call, withdraw))
    try:
        yield
    finally:
        _passing.reset(token)


def passed() -> Call | None:
    """The call that a session above has just been let through with; None where there is none."""
    above = _passing.get()
    if above is None or above.taken or not above.call.joinable:
        return None
    above.taken = True
    above.withdraw()
    return above.call


class Gate:
    """Lets replies through one by one, and cancels those that nobody waits for any more.

    Args:
        meter: The house.
        admitted: Sends a reply that was let through.
        refused: Hears of each refusal.
    """

    def __init__(
        self,
        meter: Meter,
        admitted: Callable[[Call, Send], "asyncio.Future[Any]"],
        refused: Callable[[RequestCancelledError], None],
    ) -> None:
        self._meter = meter
        self._admitted = admitted
        self._refused = refused
        self._waiting: dict[asyncio.Task[None], asyncio.Future[Any]] = {}

    def ask(self, call: Call, send: Send) -> "asyncio.Future[Any]":
        """The future of a reply that is sent when its call has been let through."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._pass(call, send, answer))
        self._waiting[task] = answer
        task.add_done_callback(self._waiting.pop)
        answer.add_done_callback(lambda each: each.cancelled() and task.cancel())
        return answer

    def refuse(self, refusal: RequestCancelledError) -> "asyncio.Future[Any]":
        """The future of a reply that need not be decided any more."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.set_exception(refusal)
        self._refused(refusal)
        return answer

    def leave(self, why: str) -> None:
        """What waits is not sent, and fails with LiveKit's own error."""
        for task, answer in list(self._waiting.items()):
            task.cancel()
            if not answer.done():
                answer.set_exception(sys.modules["livekit.agents.llm"].RealtimeError(why))
                answer.exception()  # an agent that has interrupted it does not ask

    async def _pass(self, call: Call, send: Send, answer: "asyncio.Future[Any]") -> None:
        try:
            await aadmit(self._meter, call)
        except RequestCancelledError as refusal:
            self._meter.settle(call, refusal)
            if not answer.done():
                answer.set_exception(refusal)
            self._refused(refusal)
            return
        except Exception:  # ours: the caller is answered all the same
            self._meter.cannot("gate", "a reply could not be decided", trace=True)
        except BaseException:
            call.stream_end = "cancelled"
            self._meter.settle(call)
            raise
        try:
            generation = self._admitted(call, send)
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)
            return
        _follow(answer, generation)


def _follow(answer: "asyncio.Future[Any]", generation: "asyncio.Future[Any]") -> None:
    """Let *answer* end as *generation* does, and be cancelled with it."""

    def ended(_generation: object) -> None:
        if answer.done():
            return
        if generation.cancelled():
            answer.cancel()
        elif (error := generation.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(generation.result())

    generation.add_done_callback(ended)
    answer.add_done_callback(lambda each: each.cancelled() and generation.cancel())
