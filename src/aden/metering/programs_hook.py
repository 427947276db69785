"""The program's own ``before_request``: when it is asked, what its answer or failure means."""

import contextlib
import time
from collections.abc import Awaitable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from aden.budgets.hooks import Hook, InvalidHookResult, read_result
from aden.core.decision import Decision
from aden.errors import RequestCancelledError
from aden.metering.call import Call

if TYPE_CHECKING:
    from aden.metering.meter import Meter

_in_hook: ContextVar[bool] = ContextVar("aden_in_hook", default=False)


class ProgramsHook:
    """Asks the hook for a meter; a sync one here, an async one by the shells, which wait for it."""

    def __init__(self, meter: "Meter", hook: Hook | None, *, is_async: bool) -> None:
        self._meter = meter
        self._hook = hook
        self._is_async = is_async

    def is_awaited(self, call: Call) -> bool:
        """Whether the shell has to await the hook before the span opens."""
        return self._is_async and self._is_asked(call)

    def answer(self, call: Call) -> Awaitable[Any]:
        """The answer of an async hook."""
        assert self._hook is not None
        return cast("Awaitable[Any]", self._hook(call.params, call.hook_context()))

    def ask(self, call: Call) -> None:
        """Ask a sync hook. Never raises."""
        if self._is_async or not self._is_asked(call):
            return
        assert self._hook is not None
        started = time.perf_counter()
        try:
            with self.asked():
                answer = self._hook(call.params, call.hook_context())
        except Exception as error:
            self.raised(call, error)
            return
        self._meter.complaints.sync_hook(time.perf_counter() - started)
        self.answered(call, answer)

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """Requests that the hook itself makes are gated, but the hook is not asked about them."""
        token = _in_hook.set(True)
        try:
            yield
        finally:
            _in_hook.reset(token)

    def answered(self, call: Call, answer: object) -> None:
        """Note the hook's answer."""
        try:
            call.hook = read_result(answer)
        except InvalidHookResult as error:
            self.failed(call, f"before_request answered wrongly: {error}")
            return
        if call.hook.action == "alert":
            level = getattr(answer, "level", "warning")
            self._meter.settler.alert(call, level, call.hook.message or "")

    def raised(self, call: Call, error: BaseException) -> None:
        """The hook raised: a refusal is an answer, anything else is a failure."""
        if isinstance(error, RequestCancelledError):
            call.hook = Decision("block", "hook", "hook", str(error))
        else:
            self.failed(call, f"before_request raised {error!r}", trace=True)

    def failed(self, call: Call, why: str, *, trace: bool = False) -> None:
        """The hook gave no usable answer: refuse, or go on without it."""
        self._meter.cannot("hook", why, trace=trace)
        if not self._meter.options.fail_open:
            call.hook = Decision("block", "hook", "hook", why)

    def _is_asked(self, call: Call) -> bool:
        if self._hook is None or call.hook is not None:  # misconfigured or ledger down
            return False
        return not (call.policy.mode == "off" or call.lane.observed or _in_hook.get())
