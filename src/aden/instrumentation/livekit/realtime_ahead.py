"""Replies that the server begins by itself are decided before it does: when the caller speaks."""

import asyncio
from collections.abc import Callable

from aden.errors import RequestCancelledError
from aden.metering.call import Call
from aden.metering.meter import Meter
from aden.metering.shells import aadmit
from aden.metering.unasked import begun, set_aside

LIKELY_SPEECH_TOKENS = 300
"""Of what a caller says before the server answers: half a minute, at ten tokens a second
(https://platform.openai.com/docs/guides/realtime-costs)."""


class Ahead:
    """Keeps one call let through for the next reply that the server begins.

    Args:
        meter: The house.
        foreseen: Makes its call.
        shut: Hears of a refusal as soon as it is known.

    Attributes:
        refusal: Why the next one is refused; None where it is not, or not known to be.
    """

    def __init__(
        self,
        meter: Meter,
        foreseen: Callable[[], Call],
        shut: Callable[[RequestCancelledError], None],
    ) -> None:
        self._meter = meter
        self._foreseen = foreseen
        self._shut = shut
        self._call: Call | None = None
        self._asking: asyncio.Task[None] | None = None
        self._due = False
        self._late = False
        """What is asked or kept is about a reply that has begun undecided."""
        self._missed = False
        """That one ended first: nothing waits for the answer."""
        self.refusal: RequestCancelledError | None = None

    def ask(self) -> None:
        """Ask for the next reply, unless that is done."""
        self._late = self._missed = False
        if self._call is not None:
            set_aside(self._meter, self._call)  # nothing has come of it
        elif self._asking is None:
            self.refusal, self._due = None, False
            self._asking = asyncio.create_task(self._ask())

    def due(self) -> None:
        """The caller has ended: the server may begin, and bill, before anybody here knows."""
        self._due = True
        if self._call is not None:
            self._meter.reserver.let_go(self._call)

    def late(self) -> None:
        """The server has begun one undecided: it is decided now, and held until it is `over`."""
        self.ask()
        self.due()
        self._late = True

    def over(self) -> None:
        """The reply that was begun undecided has ended; its hold is kept for no other."""
        if self._late:
            self._late, self._missed = False, self._asking is not None
            self._drop()

    def take(self) -> Call | None:
        """The call for a reply that the server has begun; None where there is none yet."""
        call, self._call, self._late = self._call, None, False
        if call is not None:
            begun(self._meter, call)
        return call

    def forget(self) -> None:
        """A refusal has been acted on; what comes next is asked for anew."""
        self.refusal = None

    def release(self) -> None:
        """The session is over."""
        if self._asking is not None:
            self._asking.cancel()
        self._drop()

    def _drop(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            self._meter.settler.withdraw(call)

    async def _ask(self) -> None:
        try:
            await self._decide(self._foreseen())
        except Exception:
            self._meter.cannot("gate", "a reply could not be decided ahead", trace=True)
        finally:
            self._asking = None

    async def _decide(self, call: Call) -> None:
        try:
            await aadmit(self._meter, call)
        except RequestCancelledError as refusal:
            self._meter.settle(call, refusal)
            self.refusal = refusal
            self._shut(refusal)
        except BaseException:
            self._meter.settler.withdraw(call)
            raise
        else:
            if self._missed:
                self._meter.settler.withdraw(call)
                return
            self._call = call
            set_aside(self._meter, call)
            if self._due:
                self._meter.reserver.let_go(call)
