"""The ``before_request`` hook: what it is given, what it may answer, what an answer means."""

import asyncio
import contextlib
import contextvars
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from aden.budgets.ladder import MAX_DELAY_MS, AlertLevel
from aden.core.attribution import NOBODY, Attribution
from aden.core.decision import ALLOW, Decision


@dataclass(frozen=True, slots=True)
class BeforeRequestResult:
    """What the hook decides. Make it with one of the class methods."""

    action: Literal["proceed", "cancel", "throttle", "degrade", "alert"]
    message: str | None = None
    delay_ms: int = 0
    to_model: str | None = None
    level: str = "warning"

    @classmethod
    def proceed(cls) -> "BeforeRequestResult":
        """Let the request go."""
        return cls("proceed")

    @classmethod
    def cancel(cls, message: str = "Request cancelled") -> "BeforeRequestResult":
        """Raise `RequestCancelledError` with *message*; nothing is sent."""
        return cls("cancel", message=message)

    @classmethod
    def throttle(cls, delay_ms: int = 1000) -> "BeforeRequestResult":
        """Delay the request by *delay_ms* milliseconds, 60,000 at most."""
        return cls("throttle", delay_ms=delay_ms)

    @classmethod
    def degrade(cls, to_model: str, reason: str | None = None) -> "BeforeRequestResult":
        """Send the request to *to_model* instead."""
        return cls("degrade", message=reason, to_model=to_model)

    @classmethod
    def alert(cls, message: str, level: str = "warning") -> "BeforeRequestResult":
        """Let the request go and call ``on_alert``."""
        return cls("alert", message=message, level=level)


@dataclass(frozen=True, slots=True)
class BeforeRequestContext:
    """What the hook may look at besides the request's own parameters."""

    model: str
    provider: str
    stream: bool
    timestamp: float
    """Unix seconds."""
    budget: Mapping[str, object] | None = None
    """The tightest matching budget; None where none matches. Read-only. Its fields are
    ``budget_id, name, type, limit, spent, reserved, remaining`` (in US dollars, or in the
    budget's own unit), ``percent_used, exhausted, window_end, reach``."""
    budgets: tuple[Mapping[str, object], ...] = ()
    """All matching budgets, the tightest first."""
    attribution: Attribution = NOBODY
    metadata: Mapping[str, object] = field(default_factory=dict)
    """The request's own metadata."""
    trace_id: str | None = None
    span_id: str | None = None


SyncHook = Callable[[Mapping[str, Any], BeforeRequestContext], BeforeRequestResult | None]
AsyncHook = Callable[
    [Mapping[str, Any], BeforeRequestContext], Awaitable[BeforeRequestResult | None]
]
Hook = SyncHook | AsyncHook


def in_thread(hook: SyncHook) -> AsyncHook:
    """A sync hook as an async one: its work stands in no event loop's way.

    In threads of its own: one that hangs takes no place in the loop's pool, whose end a loop
    awaits, and keeps no process from ending.
    """

    async def before_request(
        params: Mapping[str, Any], context: BeforeRequestContext
    ) -> BeforeRequestResult | None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[BeforeRequestResult | None] = loop.create_future()

        def finish(how: Callable[[Any], None], what: object) -> None:
            if not answer.done():
                how(what)

        def ask() -> None:
            how: Callable[[Any], None] = answer.set_result
            try:
                what: object = hook(params, context)
            except BaseException as error:
                how, what = answer.set_exception, error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish, how, what)

        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(ask,), name="aden-hook", daemon=True).start()
        return await answer

    return before_request


class InvalidHookResult(Exception):  # noqa: N818 - caught by the meter, never raised to callers
    """The hook answered something that is no decision."""


def read_result(result: object) -> Decision:
    """What the hook's answer means.

    Raises:
        InvalidHookResult: It is no `BeforeRequestResult`, or one with impossible values.
    """
    if not isinstance(result, BeforeRequestResult):
        raise InvalidHookResult(f"{result!r} is no BeforeRequestResult")
    if result.action == "proceed":
        return ALLOW
    if result.action == "cancel":
        return Decision("block", "hook", "hook", str(result.message))
    if result.action == "alert":
        if result.level not in get_args(AlertLevel):
            raise InvalidHookResult(f"an alert of level {result.level!r}, which is none")
        return Decision("alert", "hook", "hook", str(result.message))
    if result.action == "throttle":
        delay_ms = _delay(result)
        return Decision(
            "throttle", "hook", "hook", result.message, delay_ms=delay_ms, delay_source="hook"
        )
    if result.action == "degrade":
        if not isinstance(result.to_model, str) or not result.to_model:
            raise InvalidHookResult(f"degrade to {result.to_model!r}, which is no model's name")
        return Decision("degrade", "hook", "hook", result.message, model=result.to_model)
    raise InvalidHookResult(f"{result.action!r} is no action")


def _delay(result: BeforeRequestResult) -> int:
    delay = result.delay_ms
    number = isinstance(delay, int | float) and not isinstance(delay, bool)
    if not number or not math.isfinite(delay) or not 0 <= delay <= MAX_DELAY_MS:
        allowed = f"milliseconds from 0 to {MAX_DELAY_MS}"
        raise InvalidHookResult(f"throttle by {delay!r}; expected {allowed}")
    return round(delay)
