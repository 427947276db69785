"""The Call: one request to a provider, from its first sight to its settlement."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from aden.budgets.gate import Outcome, budget_views
from aden.budgets.hooks import BeforeRequestContext
from aden.budgets.plan import Plan, Quote
from aden.budgets.policy import Policy
from aden.core.attribution import Attribution
from aden.core.decision import ALLOW, Decision
from aden.core.request import COMPONENTS, Component, Request
from aden.core.value import value
from aden.errors import RefusalDetails, RequestCancelledError
from aden.ledger.protocol import Reach
from aden.metering.asking import NOBODY_ASKING, Asking
from aden.metering.attempt import Attempt
from aden.pricing.override import price_in_force
from aden.telemetry.content import Content
from aden.telemetry.spans import NO_SPAN, SpanHandle

State = Literal["planned", "sent", "settled"]


@value
class Lane:
    """By which wrapper a request came: how it is refused there, and how long it may wait."""

    refusal: type[RequestCancelledError] = RequestCancelledError
    busy_wait_ms: int = 0
    """Default of `GateOptions.busy_wait_ms` in this lane."""
    observed: bool = False
    """True where nothing may stand in its way: it is metered and charged, and never refused,
    delayed or degraded."""
    delayed: Callable[[float], None] | None = None
    """Told the seconds for which a request is about to wait."""
    waited: bool = False
    """True where the request above has waited already."""

    component: Component = "llm"
    """Which part of a voice agent asks for text; what speaks or hears says so by its task."""

    def under(self, policy: Policy) -> Policy:
        """What of *policy* holds here."""
        return policy.observed if self.observed else policy


class Call:
    """The state of one call. What is done with it, and in which order, `Meter` knows.

    Attributes:
        ahead: Notes what the provider has made beyond what was read; None where nobody can tell.
        content: What was said, where that is captured.
        place: At which point of an agent's work it is made.
        session: The job that it is a part of, which has a bill; None outside of one.
        params: The request's own parameters, as the hook may read them.
        pid: The process that made it.
        model: The model that is sent: the asked one until something degrades it.
        lane: By which wrapper the request came.
        observed: What would have been decided if nothing were only observed; None where nothing is.
        reach: Who shares what the budgets were asked with; in an outage, this process.
    """

    __slots__ = (
        "__weakref__",
        "ahead",
        "attempts",
        "attribution",
        "content",
        "conversation",
        "decided",
        "decision",
        "error",
        "held_back",
        "hook",
        "id",
        "lane",
        "lock",
        "model",
        "observed",
        "outcome",
        "params",
        "pid",
        "place",
        "plan",
        "policy",
        "prices",
        "quote",
        "reach",
        "request",
        "session",
        "span",
        "started",
        "started_at",
        "state",
        "stream_end",
    )

    def __init__(
        self,
        request: Request,
        params: Mapping[str, Any],
        attribution: Attribution,
        policy: Policy,
        lane: Lane,
        reach: Reach = "process",
        asking: Asking = NOBODY_ASKING,
    ) -> None:
        self.id = _new_id()
        self.pid = os.getpid()
        self.request = request
        self.params = params
        self.attribution = attribution
        self.place = asking.place
        self.session = asking.session
        self.policy = lane.under(policy)
        self.lane = lane
        self.reach = reach
        self.prices = price_in_force()
        """The price of the block in which the call began, above every table."""
        self.started_at = time.time()
        self.started = time.perf_counter()
        self.conversation = (request.provider, request.model, attribution.session_id or "")
        self.lock = threading.RLock()
        self.plan: Plan | None = None
        self.outcome: Outcome = None
        self.hook: Decision | None = None
        self.held_back = False
        self.decision: Decision = ALLOW
        self.observed: Decision | None = None
        self.decided = False
        self.model = request.model
        self.quote: Quote | None = None
        self.span: SpanHandle = NO_SPAN
        self.attempts: list[Attempt] = []
        self.state: State = "planned"
        self.stream_end: str | None = None
        self.error: BaseException | None = None
        self.content: Content | None = None
        self.ahead: Callable[[], object] | None = None

    @property
    def component(self) -> Component:
        """Which part of a voice agent asks."""
        task = self.request.task
        return self.lane.component if task == "text" else COMPONENTS[task]

    @property
    def is_copy(self) -> bool:
        """True in a forked child of the process that made it, which goes on with it."""
        return self.pid != os.getpid()

    def ends(self) -> bool:
        """Put an end to it, once; False where it has one, or is the parent's to end."""
        if self.is_copy:  # its lock may be held for ever here
            return False
        with self.lock:
            if self.state == "settled":
                return False
            self.state = "settled"
        return True

    @property
    def joinable(self) -> bool:
        """True while the request is on its way: a wrapper met now is a part of this call."""
        return self.state == "sent" and not self.is_copy

    @property
    def at_work(self) -> bool:
        """True while the provider works on in the background and its result can be fetched."""
        last = self.attempts[-1] if self.attempts else None
        return last is not None and last.at_work and last.response_id is not None

    @property
    def failure(self) -> BaseException | None:
        """What failed, where the caller was told by a well-formed answer or by its framework."""
        return self.error or (self.attempts[-1].failure if self.attempts else None)

    @property
    def delay_s(self) -> float:
        """Seconds by which the decision delays the request."""
        return 0.0 if self.lane.waited else self.decision.delay_ms / 1000

    def left_open(self) -> None:
        """The process ends before it: hang up, and note what was made of it. Never raises."""
        self.stream_end = self.stream_end or "abandoned"
        if self.ahead is not None and not self.is_copy:
            with contextlib.suppress(Exception):
                self.ahead()

    def attempt(self, request: Request) -> Attempt:
        """Begin one sending of the request."""
        attempt = Attempt(request)
        self.attempts.append(attempt)
        return attempt

    def refuse(self, details: RefusalDetails) -> RequestCancelledError:
        """The exception by which this lane refuses."""
        return self.lane.refusal(details)

    def hook_context(self) -> BeforeRequestContext:
        """What the hook may look at."""
        assert self.plan is not None
        views = budget_views(self.plan, self.outcome, self.reach)
        span = self.span.span.get_span_context()
        return BeforeRequestContext(
            model=self.request.model,
            provider=self.request.provider,
            stream=self.request.stream,
            timestamp=self.started_at,
            budget=views[0] if views else None,
            budgets=views,
            attribution=self.attribution,
            metadata=self.request.metadata,
            trace_id=f"{span.trace_id:032x}" if span.is_valid else None,
            span_id=f"{span.span_id:016x}" if span.is_valid else None,
        )


def _new_id() -> str:
    """Unique over all processes; those of one moment lie side by side in a ledger's file."""
    return f"{time.time_ns() // 1000:014x}{os.urandom(9).hex()}"
