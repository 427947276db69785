"""What is done with a Call at each step of its life. No I/O but the ledger's settle, no await.

The order is the shells' (`shells`): plan, reserve, ask the async hook, open the span, decide,
adjust, admit, send, read, settle.
"""

import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aden.budgets import gate
from aden.budgets.doubts import ScopeWatch
from aden.budgets.hooks import Hook
from aden.budgets.plan import Estimate, Outputs, Plan, plan, takes, unbounded, unpriced
from aden.budgets.policy import Policy
from aden.core.decision import ALLOW, Decision
from aden.core.estimate import COLD_OUTPUT_TOKENS, InputEstimator
from aden.core.request import Request
from aden.errors import RequestCancelledError
from aden.ledger.protocol import Ask, Grant, Ledger, Refusal
from aden.metering.asking import NOBODY_ASKING, Asking, attribution_of
from aden.metering.background import Background
from aden.metering.call import Call, Lane
from aden.metering.complaints import Complaints
from aden.metering.dispatch import AlertHandler, Dispatcher, Emitter
from aden.metering.further import quote_for
from aden.metering.gate_options import GateOptions
from aden.metering.leases import LeaseKeeper
from aden.metering.programs_hook import ProgramsHook
from aden.metering.reservation import Reserver
from aden.metering.settlement import Settler
from aden.pricing import PriceBook
from aden.telemetry.call_span import CallSpan
from aden.telemetry.quiet import quietly
from aden.telemetry.spans import NO_SPAN
from aden.telemetry.telemetry import Telemetry


@dataclass(slots=True, eq=False, weakref_slot=True)
class Meter:
    """The house, as the shells and the instrumentations see it."""

    policy: Callable[[], Policy]
    ledger: Ledger
    telemetry: Telemetry
    dispatcher: Dispatcher
    options: GateOptions = field(default_factory=GateOptions)
    before_request: Hook | None = None
    hook_is_async: bool = False
    emit_metric: Emitter | None = None
    tell_server: Emitter | None = None
    """Where finished calls go besides: to an Aden server's agent, which only takes them in."""
    on_alert: AlertHandler | None = None
    prices: PriceBook = field(default_factory=PriceBook)
    estimator: InputEstimator = field(default_factory=InputEstimator)
    who_asks: Callable[[], Asking] = field(default=lambda: NOBODY_ASKING)
    """Asks the framework around a request; `asking` never raises."""
    flush: Callable[[], object] = field(default=lambda: None)
    """Hand out everything that this process still holds, within the configured time."""
    on_their_way: "weakref.WeakValueDictionary[str, Call]" = field(
        default_factory=weakref.WeakValueDictionary
    )
    """Calls that are sent and not settled, by their ids."""
    background: Background = field(default_factory=Background)
    leases: LeaseKeeper = field(init=False)
    reserver: Reserver = field(init=False)
    scopes: ScopeWatch = field(default_factory=ScopeWatch)
    settler: Settler = field(init=False)
    hook: ProgramsHook = field(init=False)
    complaints: Complaints = field(init=False)

    def __post_init__(self) -> None:
        self.complaints = Complaints(self.telemetry, self.options.fail_open)
        self.leases = LeaseKeeper(self.ledger)
        self.settler = Settler(self)
        self.hook = ProgramsHook(self, self.before_request, is_async=self.hook_is_async)
        self.reserver = Reserver(self)

    def take_over(self, before: "Meter") -> None:
        """Keep what a meter of the same ledger has learned, and what it waits for."""
        self.estimator, self.background = before.estimator, before.background
        self.leases = before.leases
        self.reserver.outage = before.reserver.outage

    def begin(
        self,
        request: Request,
        params: Mapping[str, Any],
        lane: Lane,
        asking: Asking | None = None,
    ) -> Call:
        """First sight of a request. *asking*: who does, where the lane has found out already."""
        asking = asking or self.asking()
        who = attribution_of(request, asking, self.options)
        policy = self.policy_for(asking)
        return Call(request, params, who, policy, lane, self.ledger.reach, asking)

    def policy_for(self, asking: Asking) -> Policy:
        """What holds for requests that are made now: the policy, and the session's own budgets."""
        policy = self.policy()
        return policy if asking.session is None else asking.session.policy(policy)

    def asking(self) -> Asking:
        """Who makes a request at this moment, by the framework around it. Never raises."""
        try:
            return self.who_asks()
        except Exception:
            self.cannot("description", "who asks could not be read", trace=True)
            return NOBODY_ASKING

    def plan(self, call: Call) -> Ask | None:
        """Policy and prices: what to ask the ledger, None where nothing is to be reserved.

        Raises:
            RequestCancelledError: Something of the kind has just been refused.
        """
        self._repeat(self.reserver.refuse_again, call)
        policy = call.policy
        if (missing := policy.missing) is not None and policy.mode != "off":
            leg = "configuration" if missing.reason == "misconfigured" else "policy"
            self.cannot(leg, missing.message or "")
            call.hook = None if self.options.fail_open else missing
        call.plan = self.planned(call, lambda model: self.estimate(call, model))
        quietly(self.scopes.saw, policy, call.request, call.attribution)
        self._repeat(self.reserver.refuse_alike, call)
        return None if call.plan.block else call.plan.ask

    def _repeat(self, refuse: Callable[[Call], None], call: Call) -> None:
        """Refuse it as others were before it; where that cannot be told, its budgets are asked."""
        try:
            refuse(call)
        except RequestCancelledError:
            raise
        except Exception:
            self.cannot("gate", "what was refused before could not be told", trace=True)

    def planned(self, call: Call, estimate: Outputs) -> Plan:
        """The ways to send a request, of which *estimate* tells what each is taken to use."""
        prices = call.prices or self.prices
        return plan(call.id, call.request, call.attribution, call.policy, prices, estimate)

    def open_span(self, call: Call, since: float | None = None) -> None:
        """Open our own span unless a framework has one; a span processor decides at its start.

        *since*: the Unix second at which it is to begin; None: now.
        """
        if call.span is not NO_SPAN:
            return
        span = CallSpan(call, since)
        call.span = span
        call.span = self.telemetry.start(call.request, span)

    def decide(self, call: Call) -> None:
        """Ask the sync hook and join what policy, ledger and hook say. Idempotent; never raises."""
        with call.lock:
            if call.decided or call.plan is None:
                return
            call.decided = True
            try:
                self.hook.ask(call)
                asked = call.plan, call.policy, call.outcome, call.hook or ALLOW
                call.decision = gate.decide(*asked)
                if call.plan.would_be is not None:
                    call.observed = gate.observed(*asked)
                if call.policy.mode == "observe":  # hook and outages included
                    call.decision = ALLOW
                self._choose_model(call)
            except Exception:
                self.cannot("gate", "the decision failed", trace=True)
                call.decision = self._undecided(call)
                if isinstance(call.outcome, Grant):
                    call.quote = call.plan.quotes[call.outcome.option]
                    call.model = call.quote.model

    def adjust(self, call: Call) -> Ask | None:
        """What to reserve once more, because the hook chose a model that the hold does not bear."""
        if call.plan is None or call.quote is None or call.decision.source != "hook":
            return None
        return gate.second_ask(call.id, call.plan, call.policy, call.outcome, call.quote)

    def readjusted(self, call: Call, ask: Ask) -> None:
        """The second reserve was answered: its refusal is the decision."""
        assert call.plan is not None
        if isinstance(call.outcome, Refusal):
            call.decision = gate.refused(call.outcome, call.plan, ask.options)
        elif call.hook is not None and call.hook.action == "block":  # the ledger failed meanwhile
            call.decision = call.hook

    def asked_model(self, call: Call) -> Ask | None:
        """What to reserve to send the asked model after all; None where the hold bears it."""
        assert call.plan is not None
        asked = quote_for(self, call, call.request.model)
        return gate.second_ask(call.id, call.plan, call.policy, call.outcome, asked)

    def fell_back(self, call: Call) -> bool:
        """The provider refused the degraded model: whether the asked one may be sent instead."""
        if call.plan is None or isinstance(call.outcome, Refusal):
            return False
        self._keep_model(call, call.model)
        call.model, call.quote = call.request.model, quote_for(self, call, call.request.model)
        call.span.sending(call.model)
        return True

    def admit(self, call: Call) -> None:
        """Let the request go, or raise the refusal."""
        assert call.plan is not None
        if call.decision.action == "block":
            if call.plan.block is not None:
                self.reserver.repeats.refused(call, time.monotonic())
            raise call.refuse(gate.details(call.decision, call.plan, call.outcome))
        if isinstance(call.outcome, Grant):
            self.leases.keep(call.id, lambda: self.settler.progress(call))
            if call.decision.delay_ms:
                self.reserver.hold_back(call)

    def gate_failed(self, call: Call, error: Exception) -> None:
        """Our own code failed on the way: the request goes, as far as it can be decided still.

        What was decided before stands, but for what has been refused since.
        """
        self.cannot("gate", f"a request could not be decided: {error!r}", trace=True)
        self.decide(call)
        if call.decision.action != "block" and (since := self._undecided(call)).action == "block":
            call.decision = since
        if call.decision.action == "block" and call.plan is not None:
            raise call.refuse(gate.details(call.decision, call.plan, call.outcome)) from None
        self.sending(call)

    def _undecided(self, call: Call) -> Decision:
        """What is left where our own code failed: what policy, ledger or hook had said by then."""
        if call.policy.mode == "observe":
            return ALLOW
        if call.hook is not None and call.hook.action == "block":
            return call.hook
        return ALLOW if call.plan is None else gate.stated(call.plan, call.outcome)

    def sending(self, call: Call) -> None:
        """The request leaves now."""
        self.reserver.let_go(call)
        call.state = "sent"
        self.on_their_way[call.id] = call
        if (session := call.session) is not None:
            session.sent(call)
        call.span.sending(call.model)

    def settle(self, call: Call, error: BaseException | None = None) -> None:
        """Book the call, show it, hand it out. Idempotent; never raises.

        Where the provider works on in the background, that waits until its result is fetched.
        """
        try:
            if call.at_work and call.state == "sent":
                call.error = error or call.error
                given_up = self.background.keep(call)
                if given_up is not None:
                    self._settle_now(given_up)
            else:
                self._settle_now(call, error)
        except Exception:
            self.cannot("settlement", "a call's end could not be followed", trace=True)
            self._settle_now(call, error)  # it is booked once, however often this is called

    def settle_all(self) -> None:
        """The process ends: what is still open will not be read to its end. Never raises."""
        # The references at once: a set cannot be gone through while other threads begin calls.
        for reference in self.on_their_way.valuerefs():
            if (call := reference()) is not None:
                call.left_open()
                self._settle_now(call)

    def _settle_now(self, call: Call, error: BaseException | None = None) -> None:
        self.on_their_way.pop(call.id, None)
        self.settler.settle(call, error)

    def cannot(self, leg: str, why: str, *, trace: bool = False) -> None:
        """Count a leg that could not be evaluated, and say so once a minute."""
        self.complaints.cannot(leg, why, trace=trace)

    def _choose_model(self, call: Call) -> None:
        assert call.plan is not None
        model = call.decision.model or call.request.model
        chosen = quote_for(self, call, model)
        is_first = chosen is call.plan.quotes[0]  # of which the plan has asked all this
        if not is_first and not takes(chosen, call.request):
            self._keep_model(call, model)
            chosen = quote_for(self, call, call.request.model)
        call.model, call.quote = chosen.model, chosen
        if is_first or call.decision.action == "block":
            return
        matches, policy, sent = call.plan.matches, call.policy, call.request.to(chosen.model)
        call.decision = (
            unpriced(matches, policy, chosen)
            or unbounded(matches, policy, chosen, call.request)
            or policy.blocked(sent, call.attribution)
            or call.decision
        )

    def _keep_model(self, call: Call, target: str) -> None:
        """Skip a degrade to a model that cannot take the request; a delay stays."""
        self.complaints.skipped(target)
        call.decision = replace(
            call.decision,
            action="throttle" if call.decision.delay_ms else "allow",
            source=call.decision.delay_source,
            reason=call.decision.reason if call.decision.delay_ms else None,
            model=None,
        )

    def estimate(self, call: Call, model: str) -> Estimate:
        """What the call is taken to use if it goes to *model*."""
        upper = self.estimator.upper(call.conversation, call.request)
        likely = call.request.likely_output_tokens
        if likely is None:
            typical = self.reserver.typical_output(f"{call.request.provider}/{model}")
            likely = typical or COLD_OUTPUT_TOKENS
        return Estimate(upper, likely)
